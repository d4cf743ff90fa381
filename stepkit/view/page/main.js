// The page as a whole: address, search, filter, colours, keys, light and dark.

const id = (name) => document.getElementById(name);
const [search, filter, order, measure] = ["search", "filter", "order", "measure"].map(id);
const list = new List(id("list"), (trace) => choose(trace, true));
const state = { verdict: "all", found: traces };

// ---- choosing a trace --------------------------------------------------------------------------

// The address of a page says which trace it shows; so it can be sent, and the browser goes back.
function choose(trace, replace = false) {
  const address = `#${encodeURIComponent(trace.address)}`;
  if (replace) history.replaceState(null, "", address);
  else location.hash = address;
  showAddressed();
}

function addressed() {
  try {
    return byAddress.get(decodeURIComponent(location.hash.slice(1)));
  } catch {
    return undefined; // a broken address
  }
}

function showAddressed() {
  const named = addressed();
  document.body.classList.toggle("one", named !== undefined);
  id("back").hidden = named === undefined;
  show(named ?? state.found[0] ?? null);
}

function show(trace) {
  if (trace !== current.trace) {
    current.trace = trace;
    current.found = trace && caseOf(trace);
    main.scrollTop = 0;
    if (document.body.classList.contains("one")) scrollTo(0, 0);
  }
  current.name = measure.value || null;
  document.title = trace ? `${trace.address} – step-view` : "step-view";
  list.reveal(trace);
  render();
}

// ---- searching ---------------------------------------------------------------------------------

let asked = 0;

async function refine() {
  const turn = ++asked;
  const query = search.value.trim().toLowerCase();
  // what held a shorter query is all that can hold a longer one
  const narrower = state.query && query.startsWith(state.query);
  const from = narrower ? state.holding : traces;
  const holding = query ? await searched(query, from, () => turn !== asked) : traces;
  if (holding === null) return;
  Object.assign(state, { query, holding });
  list.query = current.query = query;
  relist();
  render();
}

function relist() {
  const holding = state.holding ?? traces;
  for (const [name, [, holds]] of Object.entries(VERDICTS))
    id(`is-${name}`).querySelector("small").textContent = counted(holding.filter(holds).length);
  const found = holding.filter(VERDICTS[state.verdict][1]);
  state.found = ordered(found, order.value, measure.value);
  list.measure = measure.value;
  const all = several(traces.length, "trace");
  id("count").value = found.length === traces.length ? all : `${counted(found.length)} of ${all}`;
  list.box.scrollTop = 0;
  list.show(state.found);
  list.reveal(current.trace);
}

// ---- building ----------------------------------------------------------------------------------

function fill() {
  for (const [name, [label]] of Object.entries(VERDICTS)) {
    const pressed = String(name === state.verdict);
    const look = { type: "button", id: `is-${name}`, "aria-pressed": pressed };
    const button = el("button", look, `${label} `, el("small"));
    button.addEventListener("click", () => {
      state.verdict = name;
      for (const other of filter.children) other.setAttribute("aria-pressed", String(other === button));
      relist();
    });
    filter.append(button);
  }
  for (const [name, [label]] of Object.entries(ORDERS)) order.append(el("option", { value: name }, label));
  const groups = { labels: "Labels", scores: "Scores", draws: "Evidence", leaves: "Search" };
  for (const [key, label] of Object.entries(groups)) {
    const names = [...kinds.keys()].filter((name) => name.split(".")[0] === key);
    if (!names.length) continue;
    const options = names.map((name) => {
      const of = kinds.get(name);
      const more = of && of !== titled(name) && key !== "draws" ? ` (${of})` : "";
      return el("option", { value: name }, titled(name) + more);
    });
    measure.append(el("optgroup", { label }, ...options));
  }
  if (kinds.size) measure.value = kinds.has(settings.measure) ? settings.measure : preferred();
  else id("colour").hidden = true;
  search.addEventListener("input", refine);
  order.addEventListener("change", relist);
  measure.addEventListener("change", () => {
    relist();
    show(current.trace);
  });
  id("back").addEventListener("click", () => {
    history.pushState(null, "", location.pathname + location.search);
    showAddressed();
    list.box.focus();
  });
  addEventListener("hashchange", showAddressed);
  addEventListener("popstate", showAddressed);
}

// What most traces were made to be coloured by.
function preferred() {
  const votes = new Map();
  for (const { measure } of traces) if (measure) votes.set(measure, (votes.get(measure) ?? 0) + 1);
  return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? kinds.keys().next().value;
}

// ---- light and dark ----------------------------------------------------------------------------

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function setTheme(name) {
  const [sign, title] = THEMES[name];
  document.documentElement.dataset.theme = name;
  id("theme").textContent = sign;
  id("theme").title = `Colours: ${title} (t)`;
  id("theme").setAttribute("aria-label", `Colours: ${title}`);
  try {
    localStorage.setItem("step-view-theme", name);
  } catch {
    // a page without storage forgets it
  }
}

function storedTheme() {
  try {
    return THEMES[localStorage.getItem("step-view-theme")] ? localStorage.getItem("step-view-theme") : "auto";
  } catch {
    return "auto";
  }
}

function nextTheme() {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
}

// ---- formulas and marks as they look, or as they are written ------------------------------------

function setWritten(on) {
  document.body.classList.toggle("written", on);
  id("written").setAttribute("aria-pressed", String(on));
}

const turnWritten = () => setWritten(!document.body.classList.contains("written"));

// ---- keys --------------------------------------------------------------------------------------

const KEYS = {
  "j ↓": ["next trace", () => list.step(1)],
  "k ↑": ["trace before", () => list.step(-1)],
  "n": ["next step", () => stepBy(1)],
  "p": ["step before", () => stepBy(-1)],
  "e": ["first error", toError],
  "Enter": ["siblings and rollouts of the step", null],
  "/": ["search", () => search.select()],
  "Esc": ["leave the search", null],
  "w": ["formulas and marks as written", turnWritten],
  "t": ["light or dark", nextTheme],
  "?": ["these keys", () => id("help").showModal()],
};

function stepBy(by) {
  const items = [...main.querySelectorAll("li.step")].filter((item) => item.querySelector(".gauge, .more"));
  const at = items.findIndex((item) => item.contains(document.activeElement));
  const next = items[at < 0 ? 0 : Math.min(items.length - 1, Math.max(0, at + by))];
  if (next) focusStep(Number(next.id.slice("step-".length)));
}

function toError() {
  const item = main.querySelector("li.step.error");
  if (item) focusStep(Number(item.id.slice("step-".length)));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || id("help").open) return;
  if (event.target === search) {
    if (event.key === "Escape") {
      search.value = "";
      refine();
      list.box.focus();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      list.box.focus();
      if (state.found.length && !state.found.includes(current.trace)) choose(state.found[0], true);
    } else return;
    event.preventDefault();
    return;
  }
  if (event.target.matches("select, input")) return;
  // the arrows belong to the list where it has the focus, and else to the page
  if (event.key.startsWith("Arrow") && document.activeElement !== list.box) return;
  const pressed = { ArrowDown: "↓", ArrowUp: "↑" }[event.key] ?? event.key;
  const known = Object.entries(KEYS).find(([keys]) => keys.split(" ").includes(pressed));
  if (!known?.[1][1]) return;
  event.preventDefault();
  known[1][1]();
}

function describeKeys() {
  const rows = Object.entries(KEYS).map(([keys, [what]]) => {
    const caps = keys.split(" ").map((key) => el("kbd", {}, key));
    return el("div", {}, el("dt", {}, ...caps), el("dd", {}, what));
  });
  const close = el("button", { type: "button", click: () => id("help").close() }, "Close");
  id("help").append(el("h2", {}, "Keys"), el("dl", {}, ...rows), close);
  id("keys").addEventListener("click", () => id("help").showModal());
}

fill();
describeKeys();
setTheme(storedTheme());
id("theme").addEventListener("click", nextTheme);
id("written").addEventListener("click", turnWritten);
document.addEventListener("keydown", onKey);
relist();
showAddressed();
readAhead();
