// The traces of the page: summaries parsed at once, cases when they are looked at.

const settings = JSON.parse(document.getElementById("settings").textContent);
const KEPT = 64; // parsed cases
const GOLD = "labels.gold";

const traces = [];
const byAddress = new Map();
for (const element of document.querySelectorAll("script.trace")) {
  const text = element.textContent;
  const line = text.indexOf("\n", 1);
  try {
    traces.push({ ...JSON.parse(text.slice(1, line)), element });
  } catch {
    continue; // the page was cut off here while it was written
  }
  const trace = traces[traces.length - 1];
  trace.index = traces.length - 1;
  let address = trace.id;
  for (let twin = 2; byAddress.has(address); twin++) address = `${trace.id}/${twin}`;
  trace.address = address;
  byAddress.set(address, trace);
}

const parsed = new Map(); // the least recently used first
function caseOf(trace) {
  let found = parsed.get(trace);
  if (found === undefined) {
    const text = trace.element.textContent;
    try {
      found = JSON.parse(text.slice(text.indexOf("\n", 1)));
    } catch {
      found = null;
    }
  }
  parsed.delete(trace);
  parsed.set(trace, found);
  if (parsed.size > KEPT) parsed.delete(parsed.keys().next().value);
  return found;
}

// ---- measures: what steps are coloured by ------------------------------------------------------

const MEANING = {
  value: "the chance that this sampler, going on from here, still gets to the right answer",
  progress: "by how much the step changed the chance of getting to the right answer",
  validity: "whether the step itself is right",
  confidence: "how sure the model was of the text of the step",
  raw: "a score without a fixed scale",
  share: "of the attempts that ended here or below, how many are right",
};

const kinds = new Map(); // measure -> of
for (const trace of traces)
  for (const name of Object.keys(trace.x)) if (!kinds.has(name)) kinds.set(name, trace.of[name]);

const domains = new Map();
// What a measure's numbers lie between in this file: rates in 0..1, changes around 0, or as found.
function domainOf(name) {
  if (domains.has(name)) return domains.get(name);
  let low = Infinity;
  let high = -Infinity;
  for (const trace of traces)
    for (const x of trace.x[name] ?? []) {
      if (x === null) continue;
      if (x < low) low = x;
      if (x > high) high = x;
    }
  const of = kinds.get(name);
  let domain;
  if (of === "progress" || (of === "validity" && low < 0)) {
    const most = Math.max(1, -low, high);
    domain = { kind: "change", low: -most, high: most };
  } else if (of !== "raw" && (low > high || (low >= 0 && high <= 1))) {
    domain = { kind: "rate", low: 0, high: 1 };
  } else {
    domain = { kind: "other", low, high: high > low ? high : low + 1 };
  }
  domains.set(name, domain);
  return domain;
}

// Where a number lies in its domain, 0 to 1.
const place = (x, domain) =>
  Math.min(1, Math.max(0, (x - domain.low) / (domain.high - domain.low)));

// A measure's name as it is shown; one without a dot is the page's own.
const titled = (name) =>
  name === "draws" ? "draws (value, counted here)" : unhidden(name.slice(name.indexOf(".") + 1));

// ---- search and filter -------------------------------------------------------------------------

const SLICE = 12; // milliseconds at a time: keys and scrolling go on while thousands are searched

function haystack(trace) {
  if (trace.text === undefined) {
    // not through caseOf: a search must not push out the cases that are looked at
    const text = trace.element.textContent;
    let found;
    try {
      found = JSON.parse(text.slice(text.indexOf("\n", 1)));
    } catch {
      found = { problem: trace.problem, steps: [] };
    }
    const all = [trace.id, trace.group, found.problem, found.answer, found.solution, found.final];
    trace.text = `${all.join("\n")}\n${found.steps.join("")}`.toLowerCase();
  }
  return trace.text;
}

const pause = () => new Promise((resume) => setTimeout(resume));

// The traces among `from` that hold `query`, or null when `givenUp` says that nobody waits.
async function searched(query, from, givenUp) {
  const found = [];
  let began = performance.now();
  for (const trace of from) {
    if (haystack(trace).includes(query)) found.push(trace);
    if (performance.now() - began > SLICE) {
      await pause();
      if (givenUp()) return null;
      began = performance.now();
    }
  }
  return found;
}

// Read ahead what a search will need, while nothing else happens.
async function readAhead() {
  const idle = window.requestIdleCallback ?? ((run) => setTimeout(run, 50));
  let next = 0;
  const some = (deadline) => {
    const began = performance.now();
    while (next < traces.length && performance.now() - began < SLICE) haystack(traces[next++]);
    if (next < traces.length) idle(some);
    else document.documentElement.dataset.searchable = "yes";
  };
  idle(some);
}

const VERDICTS = {
  all: ["All", () => true],
  right: ["✓ Right", (trace) => trace.correct === 1],
  wrong: ["✗ Wrong", (trace) => trace.correct === 0],
  undecided: ["? Open", (trace) => trace.correct !== 1 && trace.correct !== 0],
};

// Lower first; traces without the number last.
const last = (x) => (x === null || x === undefined || x < 0 ? Infinity : x);
const ORDERS = {
  file: ["as in the file", null],
  lowest: ["lowest step", (trace, name) => lowest(trace.x[name])],
  error: ["first error", (trace, name) => last(firstError(trace, name))],
  longest: ["most steps", (trace) => -trace.steps],
};

function lowest(x) {
  const known = (x ?? []).filter((one) => one !== null);
  return known.length ? Math.min(...known) : Infinity;
}

// The first error by the measure itself, else by labels.first, else by another label but gold;
// undefined where nothing says.
function firstError(trace, name) {
  const others = Object.keys(trace.first).filter((other) => other !== GOLD);
  const known = [name, "labels.first", ...others].find((other) => typeof trace.first[other] === "number");
  return trace.first[known];
}

function ordered(found, order, name) {
  const key = ORDERS[order][1];
  if (key === null) return found;
  const keyed = found.map((trace) => [key(trace, name), trace]);
  keyed.sort(([a, x], [b, y]) => (a === b ? x.index - y.index : a < b ? -1 : 1));
  return keyed.map(([, trace]) => trace);
}
