// One trace: its head, its curve and its steps, each with its siblings and rollouts.

const SHOWN = 40; // rollouts or siblings at first
const current = { trace: null, found: null, name: null, over: new Set(), query: "" };

// The numbers of a measure at a state; null for what the record does not have.
function at(found, name, state) {
  const one = found.measures[name] ?? {};
  const get = (key) => (state ? one[key]?.[state - 1] : one.root?.[key]) ?? null;
  return {
    x: get("x"), k: get("k"), n: get("n"), undecided: get("undecided"), low: get("low"), high: get("high"),
    why: state ? (one.why?.[state - 1] ?? null) : null,
    settled: Boolean(one.settled && state === found.steps.length),
    counted: "k" in one && "n" in one,
  };
}

// The lines of a tip: what the number is, what it was counted from, how sure that is.
function explained(found, name, state) {
  const lines = [];
  const what = state ? `Step ${state}` : "Before the first step";
  if (state && !found.mine[state - 1]) return [what, "not the model's own text: it has no number"];
  const domain = domainOf(name);
  const { x, k, n, undecided, low, high, why, settled, counted } = at(found, name, state);
  const { method = "Wilson", level = 95 } = found.measures[name] ?? {};
  const of = kinds.get(name) || "number";
  lines.push(`${what}: ${of} ${x === null ? "unknown" : number(x, domain)}`);
  if (settled) lines.push(`the attempt's own verdict: ${OUTCOMES[judged(x)][1]}`);
  else if (n) lines.push(`${whole(k)} of ${n} right${undecided ? `, ${undecided} undecided apart` : ""}`);
  else if (undecided) lines.push(`no draw decided, ${undecided} undecided`);
  else if (counted && of !== "progress") lines.push("nothing drawn here");
  else if (of === "value") lines.push("no counts in the record");
  if (!settled && low !== null && high !== null)
    lines.push(`${level} % interval ${number(low, domain)} to ${number(high, domain)} (${method})`);
  else if (!settled && n) lines.push("no interval");
  const before = state ? at(found, name, state - 1).x : null;
  if (of === "value" && x !== null && before !== null)
    lines.push(`${number(x - before, { kind: "change" })} against the step before`);
  const rule = found.states?.[state]?.rule;
  if (rule) lines.push(`drawing stopped by ${rule}`);
  if (why) lines.push(why.slice(0, 600));
  return lines;
}

const whole = (k) => (Number.isInteger(k) ? String(k) : k.toPrecision(3));

// What each source says is the first wrong step: step -> names; gold among them.
function errorsOf(found) {
  const steps = new Map();
  for (const [name, one] of Object.entries(found.measures)) {
    if (one.first === undefined || one.first === null || one.first < 0) continue;
    steps.set(one.first, [...(steps.get(one.first) ?? []), name]);
  }
  return steps;
}

// ---- the tip -----------------------------------------------------------------------------------

const tip = document.getElementById("tip");

function tipped(element, lines) {
  const show = () => {
    const [title, ...rest] = lines();
    tip.replaceChildren(el("b", {}, ...shown(title)), ...rest.map((line) => el("div", {}, ...shown(line))));
    tip.hidden = false;
    const box = element.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const left = Math.min(innerWidth - width - 8, Math.max(8, box.left + box.width / 2 - width / 2));
    const above = box.top - height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : Math.min(box.bottom + 8, innerHeight - height - 8)}px`;
  };
  const hide = () => (tip.hidden = true);
  element.addEventListener("pointerenter", show);
  element.addEventListener("pointerleave", hide);
  element.addEventListener("focus", show);
  element.addEventListener("blur", hide);
  return element;
}

// ---- the trace ---------------------------------------------------------------------------------

const main = document.getElementById("trace");

function render() {
  const { trace, found, name, query } = current;
  tip.hidden = true;
  if (!found) {
    const why = trace ? "The page was cut off within this trace." : "There are no traces here.";
    main.replaceChildren(el("p.empty", {}, why));
    return;
  }
  const { marks, formulas } = found;
  const problem = passage("p.problem", found.problem, query, marks.problem, formulas);
  const parts = [heading(trace, found, query), problem, solution(found, query), facts(found)];
  if (name && found.measures[name]?.x) parts.push(curves(found, name));
  else if (name) parts.push(el("p.note", {}, `This trace has no ${titled(name)}.`));
  parts.push(steps(found, name, query));
  main.replaceChildren(el("article", {}, ...parts.filter(Boolean)));
}

function heading(trace, found, query) {
  const answers = el("p.answers", {});
  if (found.final !== null) answers.append("answer ", el("b", {}, ...looked(found.final, found.marks.final, found.formulas, query)));
  if (found.answer !== null) {
    const reference = looked(found.answer, found.marks.answer, found.formulas, query);
    answers.append(answers.firstChild ? " · " : "", "reference ", el("b", {}, ...reference));
  }
  const address = { href: `#${encodeURIComponent(trace.address)}`, title: "The address of this trace" };
  return el(
    "header.head",
    {},
    el("h2", {}, el("a", address, ...shown(trace.address, query))),
    found.searched ? el("span.searched", {}, found.searched === "open" ? "best path, open" : "best path") : null,
    found.searched === "open" ? null
      : found.steps.length ? verdict(found.correct, true) : el("span.verdict.open", {}, "no attempt"),
    answers,
  );
}

// The reference solution, folded; open where the search has found something in it.
function solution(found, query) {
  if (found.solution === null) return null;
  const text = passage("div.text", found.solution, query, found.marks.solution, found.formulas);
  const open = Boolean(query) && found.solution.toLowerCase().includes(query);
  return el("details.solution", { open }, el("summary", {}, "reference solution"), text);
}

function facts(found) {
  const all = { read: found.place, group: found.group, ...found.facts };
  const item = ([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, ...shown(text)));
  return el("dl.facts", {}, ...Object.entries(all).map(item));
}

function curves(found, name) {
  const box = el("div.plot");
  const others = comparable(found, name);
  const redraw = () => {
    const over = others.filter((other) => current.over.has(other));
    const width = Math.max(280, box.clientWidth || 600);
    const dot = (group, state) => {
      tipped(group, () => explained(found, name, state));
      group.addEventListener("click", () => focusStep(state));
    };
    box.replaceChildren(chart(found, name, over, width, dot));
    toggles.forEach(([other, button]) => button.setAttribute("class", `toggle o${over.indexOf(other) % 4}`));
  };
  const toggles = others.map((other) => {
    const pressed = current.over.has(other);
    const button = el("button.toggle", { type: "button", "aria-pressed": String(pressed) }, titled(other));
    button.addEventListener("click", () => {
      const on = !current.over.has(other);
      current.over[on ? "add" : "delete"](other);
      button.setAttribute("aria-pressed", String(on));
      redraw();
    });
    return [other, button];
  });
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth !== width) {
      width = box.clientWidth;
      redraw();
    }
  }).observe(box);
  const domain = domainOf(name);
  const of = kinds.get(name);
  const kind = of && of !== titled(name) ? ` – ${of}` : "";
  const scale = [number(domain.low, domain), el("span.ramp"), number(domain.high, domain)];
  const buttons = toggles.map(([, button]) => button);
  return el(
    "section.curves",
    {},
    el("p.meaning", {}, el("b", {}, titled(name)), kind, MEANING[of] ? `: ${MEANING[of]}` : ""),
    el("div.scale", {}, ...scale, ...(others.length ? [el("span.overlay", {}, "compare")] : []), ...buttons),
    box,
  );
}

// ---- steps -------------------------------------------------------------------------------------

function steps(found, name, query) {
  const errors = errorsOf(found);
  const list = el("ol.steps", {});
  const root = found.states?.[0];
  if ((name && at(found, name, 0).x !== null) || root?.draws.length || (root && !found.steps.length))
    list.append(row(found, name, 0, el("div.text.start", {}, "before the first step"), []));
  found.steps.forEach((text, step) => {
    const shown = passage("div.text", text, query, found.marks.steps?.[step], found.formulas);
    list.append(row(found, name, step + 1, shown, errors.get(step) ?? []));
  });
  return list;
}

function row(found, name, state, text, errors) {
  const mine = !state || found.mine[state - 1];
  const item = el(mine ? "li.step" : "li.step.other", { id: `step-${state}` });
  const body = el("div.body", {}, text);
  if (!mine) body.prepend(el("span.role", {}, ...shown(found.role?.[state - 1] ?? "other")));
  const mistakes = errors.filter((one) => one !== GOLD).map(titled);
  if (mistakes.length) {
    item.classList.add("error");
    body.append(el("span.badge.error", {}, `✗ first error (${mistakes.join(", ")})`));
  }
  if (errors.includes(GOLD)) body.append(el("span.badge.gold", {}, "✗ first error in gold"));
  const gold = found.measures[GOLD];
  const sign = gold?.x ? goldSigns(gold, found.steps.length)[state - 1] : null;
  if (sign && !errors.includes(GOLD)) body.append(el(`span.badge.gold.${sign[1]}`, {}, `${sign[0]} gold`));
  const panel = details(found, state);
  const button = gauge(found, name, state, mine);
  item.append(el("span.n", {}, state || ""), body, button);
  if (panel) {
    const more = el("button.more", { type: "button", "aria-expanded": "false" }, panel.label);
    body.append(more);
    const flip = () => {
      const open = more.getAttribute("aria-expanded") !== "true";
      more.setAttribute("aria-expanded", String(open));
      item.querySelector(".details")?.remove();
      if (open) item.append(panel.open());
    };
    more.addEventListener("click", flip);
    button.addEventListener("click", flip);
  }
  return item;
}

// The number of a step, where it lies, its interval and its counts; more on hover and on focus.
function gauge(found, name, state, mine) {
  if (!name || !found.measures[name]?.x) return el("span");
  const { x, k, n, undecided, low, high, settled, counted } = at(found, name, state);
  if (!state && x === null && !counted) return el("span");
  const button = el("button.gauge", { type: "button", "aria-describedby": "tip" });
  const domain = domainOf(name);
  if (mine) {
    shade(button, x, domain);
    const track = el("span.track", {});
    if (low !== null && high !== null && !settled) {
      track.append(el("span.range"));
      button.style.setProperty("--l", `${place(low, domain) * 100}%`);
      button.style.setProperty("--r", `${(1 - place(high, domain)) * 100}%`);
    }
    if (x !== null) track.append(el("span.dot"));
    const counts = settled ? "verdict" : n ? `${whole(k)}/${n}` : undecided ? `0/0` : "";
    const open = !settled && undecided ? ` +${undecided}?` : "";
    button.append(el("span.x", {}, number(x, domain)), el("span.counts", {}, counts + open), track);
  } else {
    button.classList.add("unknown");
    button.append(el("span.x", {}, "–"));
  }
  tipped(button, () => explained(found, name, state));
  return button;
}

function focusStep(state) {
  const item = document.getElementById(`step-${state}`);
  item?.scrollIntoView({ block: "center" }); // before the tip takes its place
  (item?.querySelector(".gauge") ?? item?.querySelector(".more"))?.focus({ preventScroll: true });
}

// ---- the siblings and rollouts of a step -------------------------------------------------------

function details(found, state) {
  const draws = found.states?.[state]?.draws ?? [];
  const all = found.siblings?.[state ? state - 1 : 0] ?? [];
  // a trace's first step shows its siblings; only a tree without a trace has them at its start
  const siblings = state || !found.steps.length ? all : [];
  const drawn = draws.reduce((sum, group) => sum + group.draws.length, 0);
  const others = siblings.filter((sibling) => !sibling.own).length;
  if (!drawn && !others) return null;
  const counts = [others && several(others, "sibling"), drawn && several(drawn, "rollout")];
  const counted = found.searched ? "attempts that ended at them or below, or started with them" : "draws made at them or starting with them";
  const competing = `steps at the same prefix; counts are of ${counted}`;
  const from = state ? "drawn after this step" : "drawn from the problem";
  const open = () =>
    el(
      "div.details",
      {},
      others ? section("Siblings", competing, siblings.map((one) => sibling(one, found))) : null,
      drawn ? section("Rollouts", from, draws.map((one) => rollout(one, found))) : null,
    );
  return { label: counts.filter(Boolean).join(" · "), open };
}

function section(title, what, rows) {
  const table = el("ul", {});
  table.append(...rows.slice(0, SHOWN));
  if (rows.length > SHOWN) {
    const more = el("button.rest", { type: "button" }, `… all ${counted(rows.length)}`);
    more.addEventListener("click", () => more.parentElement.replaceWith(...rows.slice(SHOWN)));
    table.append(el("li", {}, more));
  }
  return el("section", {}, el("h3", {}, title, el("small", {}, what)), table);
}

function sibling(one, { formulas }) {
  const x = one.n ? one.k / one.n : null;
  const value = el("span.value", {}, x === null ? "–" : number(x, { kind: "rate" }));
  shade(value, x, { low: 0, high: 1 });
  const counts = `${whole(one.k)}/${one.n}${one.undecided ? ` +${one.undecided}?` : ""}`;
  const scored = Object.entries(one.scores ?? {}).filter(([, score]) => score !== null);
  const scores = scored.map(([name, score]) => ` · ${unhidden(name)} ${number(score, { kind: "rate" })}`).join("");
  const visits = one.visits === undefined ? "" : ` · ${several(one.visits, "visit")}`;
  return el(
    `li.sibling${one.own ? ".own" : ""}${visits || scores ? ".long" : ""}`,
    {},
    value,
    el("span.counts", {}, counts + visits + scores),
    passage("span.text", one.text, "", one.marks, formulas),
    one.own ? el("span.badge", {}, "this step") : null,
  );
}

const ENDED = { length: "cut off", error: "failed" };

function rollout(one, { formulas }) {
  const open = one.outcome === null ? "li.rollout.undecided" : "li.rollout";
  const answer = one.final === null ? null : el("b", {}, ...looked(one.final, one.answer, formulas));
  const ended = [ENDED[one.finish], answer ? "" : "no answer"].filter(Boolean).join(", ");
  const numbers = `draw${one.draws.length > 1 ? "s" : ""} ${one.draws.join(", ")}`;
  return el(
    open,
    { title: numbers },
    verdict(one.outcome),
    el("span.times", {}, one.draws.length > 1 ? `${one.draws.length}×` : ""),
    passage("span.text", one.text, "", one.marks, formulas),
    el("span.ending", {}, answer, ended ? ` ${ended}` : null),
  );
}
