// The list of traces: only the rows in sight are in the document, however many there are.

const ROW = 72; // pixels, as in the style
const MOST_CELLS = 60;

class List {
  constructor(box, choose) {
    this.box = box;
    this.rows = box.querySelector("#rows");
    this.choose = choose;
    this.traces = [];
    this.chosen = null;
    this.measure = null;
    this.query = "";
    box.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(box);
  }

  show(traces) {
    this.traces = traces;
    this.rows.style.height = `${traces.length * ROW}px`;
    this.draw();
  }

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  draw() {
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 2);
    const end = Math.min(
      this.traces.length,
      Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + 2,
    );
    const rows = [];
    for (let at = first; at < end; at++) rows.push(this.row(this.traces[at], at));
    this.rows.replaceChildren(...rows);
    const on = this.traces.indexOf(this.chosen);
    if (on >= first && on < end) this.box.setAttribute("aria-activedescendant", "row-chosen");
    else this.box.removeAttribute("aria-activedescendant");
  }

  row(trace, at) {
    const chosen = trace === this.chosen;
    const row = el(
      "a.row",
      {
        href: `#${encodeURIComponent(trace.address)}`,
        role: "option",
        tabindex: -1,
        id: chosen ? "row-chosen" : null,
        "aria-selected": String(chosen),
        "aria-posinset": at + 1,
        "aria-setsize": this.traces.length,
      },
      el(
        "div.top",
        {},
        verdict(trace.correct),
        el("b", {}, ...shown(trace.address, this.query)),
        el("span.final", {}, ...shown(trace.final ?? "", this.query)),
      ),
      el("div.problem", {}, ...shown(trace.problem, this.query)),
      this.strip(trace),
    );
    row.style.transform = `translateY(${at * ROW}px)`;
    return row;
  }

  // The steps as cells: their colours, their heights, and the first error.
  strip(trace) {
    const x = trace.x[this.measure] ?? [];
    const domain = domainOf(this.measure);
    const first = firstError(trace, this.measure);
    const cells = x.slice(0, MOST_CELLS).map((one, step) => {
      const cell = el(step === first ? "i.error" : "i", {}, el("s"));
      shade(cell, one, domain);
      return cell;
    });
    const more = trace.steps - cells.length;
    const steps = trace.steps ? several(trace.steps, "step") : "no attempt";
    const note = !cells.length ? steps : more > 0 ? `+${counted(more)}` : "";
    return el("div.strip", { "aria-label": steps }, ...cells, note);
  }

  reveal(trace) {
    this.chosen = trace;
    const at = this.traces.indexOf(trace);
    if (at >= 0) {
      const top = at * ROW;
      const { scrollTop, clientHeight } = this.box;
      if (top < scrollTop) this.box.scrollTop = top;
      else if (top + ROW > scrollTop + clientHeight) this.box.scrollTop = top + ROW - clientHeight;
    }
    this.draw();
  }

  step(by) {
    if (!this.traces.length) return;
    const at = this.traces.indexOf(this.chosen);
    const next = at < 0 ? 0 : Math.min(this.traces.length - 1, Math.max(0, at + by));
    this.choose(this.traces[next]);
  }
}

const OUTCOMES = { right: ["✓", "right"], wrong: ["✗", "wrong"], open: ["?", "undecided"] };
const judged = (outcome) => (outcome === 1 ? "right" : outcome === 0 ? "wrong" : "open");

// A verdict as a sign; words for those who do not see it.
function verdict(outcome, word = false) {
  const partly = typeof outcome === "number" && outcome !== 0 && outcome !== 1;
  const kind = partly ? "part" : judged(outcome);
  const [sign, words] = partly ? ["", String(outcome)] : OUTCOMES[kind];
  const look = { title: words, "aria-label": words, role: "img" };
  return el(`span.verdict.${kind}`, look, word ? `${sign} ${words}`.trim() : sign || words);
}

// Colour and height by a number: --t is how far it is from the middle, --p where it lies.
function shade(element, x, domain) {
  if (x === null || x === undefined) {
    element.classList.add("unknown");
    return;
  }
  const p = place(x, domain);
  element.classList.add(p < 0.5 ? "low" : "high");
  element.style.setProperty("--t", `${Math.abs(2 * p - 1) * 100}%`);
  element.style.setProperty("--p", `${p * 100}%`);
}
