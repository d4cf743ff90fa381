// The curve of a trace: a measure along its steps with its intervals, others over it, gold below.

const TALL = 150; // pixels between the lowest and the highest value
const LEFT = 44;
const RIGHT = 16;
const LINE = 13; // of the names over the curve
const DENSE = 120; // states, from which on intervals are a band and points are small
const SHAPES = ["M-4,-4H4V4H-4Z", "M0,-5L5,4H-5Z", "M0,-5L5,0L0,5L-5,0Z", "M-5,-4H5L0,5Z"];

const svg = (kind, properties, ...children) => el(`svg:${kind}`, properties, ...children);

// Measures that can share an axis with `name`.
function comparable(found, name) {
  const kind = domainOf(name).kind;
  if (kind === "other") return [];
  const others = Object.keys(found.measures).filter((other) => other !== name && other !== GOLD);
  return others.filter((other) => found.measures[other].x && domainOf(other).kind === kind);
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
  const errors = [...errorsOf(found)].sort(([a], [b]) => a - b);
  const top = LINE * (1 + Math.min(2, Math.max(1, errors.length)));
  const floor = top + TALL;
  const height = floor + (gold ? 52 : 30);
  const x = (state) => LEFT + ((width - LEFT - RIGHT) * state) / Math.max(1, states - 1);
  const y = (value) => floor - TALL * place(value, domain);
  const label = `${titled(name)} along the steps`;
  const viewBox = `0 0 ${width} ${height}`;
  const drawn = svg("svg", { viewBox, width, height, role: "img", "aria-label": label });

  const tick = (x, y, anchor, text) =>
    svg("text", { class: "tick", x, y, "text-anchor": anchor }, text);
  for (const value of [domain.low, (domain.low + domain.high) / 2, domain.high]) {
    drawn.append(
      svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      tick(LEFT - 8, y(value) + 4, "end", number(value, domain)),
    );
  }
  const every = round(states / Math.max(2, Math.floor((width - LEFT) / 44)));
  for (let state = 0; state < states; state += every)
    drawn.append(tick(x(state), floor + 20, "middle", state ? String(state) : "start"));

  errors.forEach(([step, names], index) => {
    const at = x(step + 1);
    const near = at > width - 90;
    const y1 = top - 8 - LINE * (index % 2); // neighbours do not write over each other
    const text = { x: at + (near ? -6 : 6), y: y1, "text-anchor": near ? "end" : "start" };
    drawn.append(
      svg("line", { class: "error", x1: at, x2: at, y1: y1 - 8, y2: floor }),
      svg("text", { class: "error", ...text }, `✗ ${names.map(titled).join(", ")}`),
    );
  });
  over.forEach((other, index) => {
    const look = index % SHAPES.length;
    drawn.append(...curve(points(found, other), x, y, `over o${look}`, SHAPES[look]));
  });
  drawn.append(...curve(points(found, name), x, y, "main", ""));
  drawn.append(...dots(found, name, x, y, top, tipped));
  if (gold) drawn.append(...goldRow(gold, found.steps.length, x, floor + 42));
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
    if (!shape || values.length > DENSE) return;
    const transform = `translate(${x(state)},${y(value)})`;
    parts.push(svg("path", { class: `mark ${kind}`, d: shape, transform }));
  });
  return [svg("path", { class: `curve ${kind}`, d: path || "M0,0" }), ...parts];
}

// 1, 2, 5, 10, 20 ...: the least that is not below `least`.
function round(least) {
  for (let unit = 1; ; unit *= 10)
    for (const times of [1, 2, 5]) if (unit * times >= least) return unit * times;
}

function dots(found, name, x, y, top, tipped) {
  const parts = [];
  const domain = domainOf(name);
  const values = points(found, name);
  const dense = values.length > DENSE;
  const reach = dense ? Math.max(1, x(1) - x(0)) : 18;
  const across = { x: -reach / 2, width: reach };
  const bar = (value) => `M-4,${y(value)}H4`;
  values.forEach((value, state) => {
    if (value === null) return;
    const { low, high, settled } = at(found, name, state);
    const point = svg("g", { class: "point", transform: `translate(${x(state)},0)` });
    if (low !== null && high !== null && !settled)
      point.append(
        dense
          ? svg("rect", { class: "band", ...across, y: y(high), height: y(low) - y(high) })
          : svg("path", { class: "whisker", d: `M0,${y(low)}V${y(high)}${bar(low)}${bar(high)}` }),
      );
    const dot = svg("circle", { cy: y(value), r: dense ? 1.5 : 5, class: dense ? "small" : null });
    shade(dot, value, domain);
    point.append(dot, svg("rect", { class: "reach", ...across, y: top, height: TALL + 12 }));
    tipped(point, state);
    parts.push(point);
  });
  return parts;
}

// What people judged, step by step: a sign each, or all that a first error implies.
function goldRow(gold, steps, x, y) {
  const parts = [svg("text", { class: "tick", x: 4, y: y + 4 }, "gold")];
  goldSigns(gold, steps).forEach((sign, step) => {
    if (!sign) return;
    const place = { x: x(step + 1), y: y + 4, "text-anchor": "middle" };
    parts.push(svg("text", { class: `gold ${sign[1]}`, ...place }, sign[0]));
  });
  return parts;
}

function goldSigns(gold, steps) {
  const of = (good) => (good ? ["✓", "right"] : ["✗", "wrong"]);
  if (gold.x) {
    const ternary = gold.x.some((one) => one < 0); // then 0 is neither right nor wrong
    return gold.x.map((one) =>
      one === null ? null : ternary && one === 0 ? ["·", "open"] : of(one > 0),
    );
  }
  if (gold.first === undefined || gold.first === null) return [];
  const count = gold.first < 0 ? steps : gold.first + 1;
  return Array.from({ length: count }, (_, step) => of(step !== gold.first));
}
