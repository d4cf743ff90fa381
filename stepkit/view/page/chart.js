// The curve of a trace: a measure along its steps with its intervals, others over it, gold below.

const TALL = 150; // pixels between the lowest and the highest value
const LEFT = 44;
const RIGHT = 16;
const TOP = 22;
const SHAPES = ["M-4,-4H4V4H-4Z", "M0,-5L5,4H-5Z", "M0,-5L5,0L0,5L-5,0Z", "M-5,-4H5L0,5Z"];

const svg = (kind, properties, ...children) => el(`svg:${kind}`, properties, ...children);

// Measures that can share an axis with `name`.
function comparable(found, name) {
  const kind = domainOf(name).kind;
  return Object.keys(found.measures).filter(
    (other) =>
      other !== name && other !== GOLD && found.measures[other].x && domainOf(other).kind === kind && kind !== "other",
  );
}

// The points of a measure by state: 0 is before the first step, t after step t.
function points(found, name) {
  const one = found.measures[name];
  return [one.root?.x ?? null, ...one.x];
}

function chart(found, name, over, width, tipped) {
  const domain = domainOf(name);
  const states = found.steps.length + 1;
  const gold = found.measures[GOLD];
  const floor = TOP + TALL;
  const height = floor + (gold ? 52 : 30);
  const x = (state) => LEFT + ((width - LEFT - RIGHT) * state) / Math.max(1, states - 1);
  const y = (value) => floor - TALL * place(value, domain);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${titled(name)} along the steps` });

  for (const value of [domain.low, (domain.low + domain.high) / 2, domain.high]) {
    drawn.append(
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, number(value, domain)),
    );
  }
  const every = Math.ceil(states / Math.max(2, Math.floor((width - LEFT) / 44)));
  for (let state = 0; state < states; state += every)
    drawn.append(svg("text", { class: "tick", x: x(state), y: floor + 20, "text-anchor": "middle" }, state ? String(state) : "start"));

  for (const [step, names] of errorsOf(found)) {
    const at = x(step + 1);
    const near = at > width - 90;
    drawn.append(
      svg("line", { class: "error", x1: at, x2: at, y1: TOP - 6, y2: floor }),
      svg("text", { class: "error", x: at + (near ? -6 : 6), y: TOP - 8, "text-anchor": near ? "end" : "start" }, `✗ ${names.map(titled).join(", ")}`),
    );
  }
  over.forEach((other, index) => drawn.append(...curve(points(found, other), x, y, `over o${index % 4}`, SHAPES[index % 4])));
  drawn.append(...curve(points(found, name), x, y, "main", ""));
  drawn.append(...dots(found, name, x, y, tipped));
  if (gold) drawn.append(...goldRow(gold, x, floor + 42));
  return drawn;
}

// Lines between neighbours that are both known; a gap stays a gap.
function curve(values, x, y, kind, shape) {
  const parts = [];
  let path = "";
  values.forEach((value, state) => {
    if (value === null) return;
    const joined = state && values[state - 1] !== null;
    path += `${joined ? "L" : "M"}${x(state)},${y(value)}`;
    if (shape && values.length < 200)
      parts.push(svg("path", { class: `mark ${kind}`, d: shape, transform: `translate(${x(state)},${y(value)})` }));
  });
  return [svg("path", { class: `curve ${kind}`, d: path || "M0,0" }), ...parts];
}

function dots(found, name, x, y, tipped) {
  const parts = [];
  const domain = domainOf(name);
  points(found, name).forEach((value, state) => {
    if (value === null) return;
    const { low, high, settled } = at(found, name, state);
    const at_ = svg("g", { class: "point", transform: `translate(${x(state)},0)` });
    if (low !== null && high !== null && !settled)
      at_.append(svg("path", { class: "whisker", d: `M0,${y(low)}V${y(high)}M-4,${y(low)}H4M-4,${y(high)}H4` }));
    const dot = svg("circle", { cy: y(value), r: 5 });
    shade(dot, value, domain);
    at_.append(dot, svg("rect", { class: "reach", x: -9, y: TOP, width: 18, height: TALL + 12 }));
    tipped(at_, state);
    parts.push(at_);
  });
  return parts;
}

// What people said, step by step: a sign each, or all that a first error tells.
function goldRow(gold, x, y) {
  const parts = [svg("text", { class: "tick", x: 4, y: y + 4 }, "gold")];
  goldSigns(gold).forEach((sign, step) => {
    if (sign) parts.push(svg("text", { class: `gold ${sign[1]}`, x: x(step + 1), y: y + 4, "text-anchor": "middle" }, sign[0]));
  });
  return parts;
}

function goldSigns(gold) {
  const of = (good) => (good ? ["✓", "right"] : ["✗", "wrong"]);
  if (gold.x) return gold.x.map((one) => (one === null ? null : one === 0 && Math.min(...gold.x) < 0 ? ["·", "open"] : of(one > 0)));
  if (gold.first === undefined || gold.first === null) return [];
  const count = gold.first < 0 ? current.found.steps.length : gold.first + 1;
  return Array.from({ length: count }, (_, step) => of(step !== gold.first));
}
