// Text into elements. Nothing here, or anywhere on the page, parses a text as HTML.

const LONG = 20000; // characters shown at first: a step of a megabyte must not stop the page

// What would hide, reorder or fake text: controls but tab and line feed, bidi, zero width, halves
// of surrogate pairs. With the u flag a whole pair is one character and never matches.
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]/u;
const ALL_HIDDEN = new RegExp(HIDDEN.source, "gu");

// el("p.note", {title: "x"}, "text", child): properties are attributes, functions are listeners.
function el(kind, properties = {}, ...children) {
  const [name, ...classes] = kind.split(".");
  const made = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
    : document.createElement(name);
  if (classes.length) made.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false)
      made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// A text as nodes: hidden characters by their numbers, what was searched for marked.
function shown(text, query = "") {
  const nodes = [];
  for (const [part, found] of divided(text, query)) {
    const inside = HIDDEN.test(part) ? spelled(part) : [part];
    nodes.push(...(found ? [el("mark", {}, ...inside)] : inside));
  }
  return nodes;
}

function divided(text, query) {
  const low = text.toLowerCase();
  // some letters change their length in lower case: then places in one are not places in the other
  if (!query || low.length !== text.length) return [[text, false]];
  const parts = [];
  let end = 0;
  for (let at = low.indexOf(query); at >= 0; at = low.indexOf(query, end)) {
    parts.push([text.slice(end, at), false], [text.slice(at, at + query.length), true]);
    end = at + query.length;
  }
  parts.push([text.slice(end), false]);
  return parts.filter(([part]) => part);
}

const numbered = (letter) => `U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

// The same as plain text, where no element can stand.
const unhidden = (text) => text.replace(ALL_HIDDEN, numbered);

function spelled(text) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(ALL_HIDDEN)) {
    nodes.push(text.slice(end, match.index));
    nodes.push(el("span.hidden", { title: "a character that is not seen" }, numbered(match[0])));
    end = match.index + match[0].length;
  }
  nodes.push(text.slice(end));
  return nodes;
}

// ---- marked texts: formulas, code and light Markdown, found beforehand --------------------------

const MATHML = "http://www.w3.org/1998/Math/MathML";

// An element of a formula: its name, its attributes if it has any, and what it holds.
function built([name, ...rest]) {
  const made = document.createElementNS(MATHML, name);
  for (const part of rest) {
    if (typeof part === "string") made.append(part);
    else if (Array.isArray(part)) made.append(built(part));
    else for (const [key, value] of Object.entries(part)) made.setAttribute(key, value);
  }
  return made;
}

// What a text is with its marks: [begin, end, kind, inner begin, inner end, marks inside], or
// [begin, end, kind, number of a formula]. The text is all there: what is not seen is in .markup.
class Marked {
  constructor(text, formulas, query) {
    Object.assign(this, { text, formulas });
    let at = 0;
    this.hits = [];
    for (const [part, found] of divided(text, query)) {
      if (found) this.hits.push([at, at + part.length]);
      at += part.length;
    }
  }

  // All of it; blank lines at its end are not seen.
  all(marks) {
    const end = Math.max(this.text.trimEnd().length, marks.at(-1)?.[1] ?? 0);
    const after = this.text[end - 1] !== "\n" && this.text[end] === "\n" ? end + 1 : end;
    return [...this.nodes(0, after, marks), this.unseen(after, this.text.length)].filter(Boolean);
  }

  nodes(begin, end, marks) {
    const made = [];
    for (const mark of marks) {
      if (mark[1] > end) break; // the text is shown up to here
      made.push(...this.plain(begin, mark[0]), this.marked(mark));
      begin = mark[1];
    }
    return [...made, ...this.plain(begin, end)];
  }

  plain(begin, end) {
    const made = [];
    for (const [from, to] of this.hits) {
      if (to <= begin || from >= end) continue;
      const [a, b] = [Math.max(from, begin), Math.min(to, end)];
      made.push(...shown(this.text.slice(begin, a)), el("mark", {}, ...shown(this.text.slice(a, b))));
      begin = b;
    }
    return begin < end ? [...made, ...shown(this.text.slice(begin, end))] : made;
  }

  unseen(begin, end) {
    return begin < end ? el("span.markup", {}, ...this.plain(begin, end)) : null;
  }

  marked([begin, end, kind, ...rest]) {
    if (kind === "formula" || kind === "display") return this.formula(begin, end, kind, rest[0]);
    const [from, to, marks = []] = rest;
    const inner = this.nodes(from, to, marks);
    const parts = [this.unseen(begin, from), ...inner, this.unseen(to, end)];
    if (kind === "bold" || kind === "both") return el(`strong.${kind}`, {}, ...parts);
    if (kind === "italic") return el("em", {}, ...parts);
    if (kind === "code") return el("code", {}, ...parts);
    if (kind === "fence") return el("span.fence", {}, parts[0], el("code", {}, ...inner), parts.at(-1));
    if (kind === "drawing") return el("details.drawing", {}, el("summary", {}, "drawing"), el("code", {}, ...inner));
    const made = el(kind === "heading" ? "strong.heading" : `span.item.${kind}`, {}, ...parts);
    if (kind !== "heading") made.style.setProperty("--in", /^\s*/.exec(this.text.slice(begin, from))[0].length);
    return made;
  }

  formula(begin, end, kind, number) {
    const source = this.text.slice(begin, end);
    const found = this.hits.some(([from, to]) => from < end && to > begin);
    const made = el(`span.formula.${kind}${found ? ".found" : ""}`, { title: unhidden(source.trim()) });
    made.append(this.unseen(begin, end));
    this.formulas[number].forEach((part, index) => made.append(...(index ? [el("wbr")] : []), built(part)));
    return made;
  }
}

// A text with its marks as nodes.
const looked = (text, marks, formulas, query = "") =>
  marks ? new Marked(text, formulas ?? [], query).nodes(0, text.length, marks) : shown(text, query);

// The same in an element; of a very long text the start, and a button for the rest.
function passage(kind, text, query = "", marks = [], formulas = []) {
  const made = el(kind, { dir: "auto" });
  const marked = new Marked(text, formulas, query);
  if (text.length <= LONG) {
    made.append(...marked.all(marks));
    return made;
  }
  const last = text.charCodeAt(LONG - 1);
  const whole = last >= 0xd800 && last < 0xdc00 ? LONG - 1 : LONG; // not between two surrogates
  const rest = () => made.replaceChildren(...marked.all(marks));
  made.append(
    ...marked.nodes(0, whole, marks),
    el("button.rest", { type: "button", click: rest }, `… all ${counted(text.length)} characters`),
  );
  return made;
}

const counted = (number) => number.toLocaleString("en");
const several = (count, what) => `${counted(count)} ${what}${count === 1 ? "" : "s"}`;

// Numbers as they are read: two digits of a rate, a sign for a change, three digits of the rest.
function number(x, domain) {
  if (x === null || x === undefined) return "–";
  if (domain.kind === "rate") return x.toFixed(2);
  if (domain.kind === "change") return (x > 0 ? "+" : x < 0 ? "−" : "") + Math.abs(x).toFixed(2);
  const text = Math.abs(x) >= 1e5 || (x && Math.abs(x) < 1e-3) ? x.toExponential(1) : x.toPrecision(3);
  return text.replace("-", "−");
}
