"""step-view's page in a real browser: what is there once its scripts have run, seen and pressed."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import viewing
from browser import Browser, executable
from work import Workdir, missing

WIDE, NARROW = (1300, 900), (390, 844)
A0 = "#a%2F0"
MISSING, MINUS, TIMES = "\u2013", "\u2212", "\u00d7"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = executable()
    if program is None:
        missing("browser (chromium)")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(started: Browser) -> Iterator[Browser]:
    """A wide light window. Whatever a test does: nothing was thrown, and nothing else fetched."""
    started.view(*WIDE)
    yield started
    assert started.complaints == []
    assert [url for url in started.requests if not url.startswith("file://")] == []
    assert len(started.requests) <= 1
    assert started.run("window.broken ?? null") is None


def page(work: Workdir, *records: dict[str, Any], options: tuple[str, ...] = ()) -> Path:
    """A page of the records."""
    work.write("t.jsonl", viewing.lines(*records))
    done = work.run("step-view", *options, "t.jsonl", "-o", "page.html")
    assert (done.status, done.err) == (0, "")
    return work.path / "page.html"


def several() -> list[dict[str, Any]]:
    """Four right, two wrong, one undecided: t1 .. t7."""
    verdicts = [True, True, False, True, None, False, True]
    words = ["apple", "pear", "APPLE pie", "plum", "pear", "fig", "fig"]
    pairs = enumerate(zip(verdicts, words, strict=True), 1)
    return [viewing.plain(number, verdict, word) for number, (verdict, word) in pairs]


def ids(browser: Browser) -> list[str]:
    return browser.texts(".row b")


def search(browser: Browser, text: str, count: str) -> None:
    """Type into the search, and wait for the count of what was found."""
    browser.run("document.getElementById('search').select()")
    if text:
        browser.type(text)
    else:
        browser.press("Escape")
    browser.wait(f"document.getElementById('count').value === {json.dumps(count)}")


# ---- the list -------------------------------------------------------------------------------


def test_the_list_tells_verdicts_and_counts_them(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, *several()))
    assert ids(browser) == [f"t{number}" for number in range(1, 8)]
    assert browser.texts(".row .verdict") == list("✓✓✗✓?✗✓")
    assert browser.texts("#filter small") == ["7", "4", "2", "1"]
    browser.click("#is-wrong")
    assert (ids(browser), browser.text("#count")) == (["t3", "t6"], "2 of 7 traces")
    browser.click("#is-undecided")
    assert ids(browser) == ["t5"]
    assert browser.run("document.getElementById('is-undecided').ariaPressed") == "true"


def test_search_filters_as_it_is_typed_and_marks(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, *several()))
    search(browser, "apple", "2 of 7 traces")
    assert ids(browser) == ["t1", "t3"]
    assert browser.texts("#filter small") == ["2", "1", "1", "0"]
    assert browser.texts("#step-1 mark") == ["apple"]
    search(browser, "APPLE P", "1 of 7 traces")
    assert ids(browser) == ["t3"]
    search(browser, "nowhere", "0 of 7 traces")
    assert ids(browser) == []
    search(browser, "follows 6", "1 of 7 traces")  # in the problem
    assert ids(browser) == ["t7"]
    search(browser, "", "7 traces")
    assert browser.texts("mark") == []
    assert len(ids(browser)) == 7


def test_orders(work: Workdir, browser: Browser) -> None:
    records = [viewing.plain(number, True) for number in (1, 2, 3)]
    for record, x, first in zip(
        records, ([0.5, 0.6], [0.9, 0.1], [None, 0.3]), (-1, 1, 0), strict=True
    ):
        record["labels"] = {"mine": {"of": "value", "x": x, "first": first}}
    browser.open(page(work, *records))
    for order, expected in (
        ("lowest", ["t2", "t3", "t1"]),
        ("error", ["t3", "t2", "t1"]),
        ("file", ["t1", "t2", "t3"]),
    ):
        browser.run(
            f"(() => {{ const o = document.getElementById('order'); o.value = '{order}';"
            "o.dispatchEvent(new Event('change')); })()"
        )
        assert ids(browser) == expected


def test_thousands_of_traces_are_a_few_rows(work: Workdir, browser: Browser) -> None:
    browser.open(
        page(work, *(viewing.plain(number, True, f"w{number}") for number in range(1, 3001)))
    )
    assert browser.text("#count") == "3,000 traces"
    assert browser.run("document.querySelectorAll('.row').length") < 40
    browser.run("document.getElementById('list').scrollTop = 1e9")
    browser.wait("[...document.querySelectorAll('.row b')].at(-1).innerText === 't3000'")
    assert browser.run("document.querySelectorAll('.row').length") < 40
    search(browser, "w2999.", "0 of 3,000 traces")
    search(browser, "w2999", "1 of 3,000 traces")
    assert ids(browser) == ["t2999"]


# ---- a trace --------------------------------------------------------------------------------


def test_a_trace_and_its_numbers(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.labelled()))
    assert browser.text("h2") == "a/0"
    assert browser.text(".head .verdict") == "✗ wrong"
    assert browser.text(".answers") == "answer 42 · reference 41"
    assert browser.text("p.problem") == "What is one more than 6 * 7 - 2?"
    assert [text.strip() for text in browser.texts(".step .text")] == [
        "before the first step",
        *(step.strip() for step in viewing.STEPS),
    ]
    assert browser.texts(".gauge .x") == ["0.67", "0.75", "0.00", MISSING, "0.00"]
    assert browser.texts(".gauge .counts") == ["2/3 +1?", "3/4 +1?", "0/4", "", "verdict"]
    assert "value: the chance that this sampler" in browser.text(".meaning")


TIPS = {
    0: ["Before the first step: value 0.67", "2 of 3 right, 1 undecided apart",
        "95 % interval 0.21 to 0.94 (Wilson)"],
    1: ["Step 1: value 0.75", "3 of 4 right, 1 undecided apart",
        "95 % interval 0.30 to 0.95 (Wilson)", "+0.08 against the step before"],
    2: ["Step 2: value 0.00", "0 of 4 right", "95 % interval 0.00 to 0.49 (Wilson)",
        f"{MINUS}0.75 against the step before"],
    3: ["Step 3: value unknown", "nothing drawn here"],
    4: ["Step 4: value 0.00", "the attempt's own verdict: wrong"],
}  # fmt: skip


@pytest.mark.parametrize("by", ["pointer", "keyboard"])
def test_counts_and_interval_on_hover_and_on_focus(
    work: Workdir, browser: Browser, by: str
) -> None:
    browser.open(page(work, viewing.labelled()))
    assert browser.run("document.getElementById('tip').hidden")
    for state, expected in TIPS.items():
        if by == "pointer":
            browser.hover(f"#step-{state} .gauge")
        else:
            browser.press("n")
        assert browser.text("#tip").split("\n") == expected
    if by == "pointer":
        browser.hover("h2")
    else:
        browser.run("document.activeElement.blur()")
    assert browser.run("document.getElementById('tip').hidden")


def test_another_measure(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.labelled(), options=("--score", "judge")))
    assert browser.texts(".gauge .x") == ["0.90", "0.20", "0.40", "0.30"]
    browser.hover("#step-2 .gauge")
    assert browser.text("#tip").split("\n") == [
        "Step 2: validity 0.20",
        "2 was taken away wrongly",
    ]
    options = browser.texts("#measure option")
    assert options == ["value", "progress", "gold (validity)", "judge (validity)"]
    choose(browser, "labels.progress")
    assert browser.texts(".gauge .x") == ["+0.08", f"{MINUS}0.75", MISSING, MISSING]
    assert "by how much the step changed" in browser.text(".meaning")
    assert browser.texts(".scale")[0].startswith(f"{MINUS}1.00")


def choose(browser: Browser, measure: str) -> None:
    browser.run(
        f"(() => {{ const m = document.getElementById('measure'); m.value = '{measure}';"
        "m.dispatchEvent(new Event('change')); })()"
    )


def test_a_missing_number_is_shown_as_missing(work: Workdir, browser: Browser) -> None:
    record = viewing.plain(1, True)
    record["labels"] = {"mine": {"of": "value", "x": [None, 0.5]}}
    browser.open(page(work, record, viewing.plain(2, True)))
    assert browser.texts(".gauge .x") == [MISSING, "0.50"]
    browser.hover("#step-2 .gauge")
    assert browser.text("#tip").split("\n") == ["Step 2: value 0.50", "no counts in the record"]
    browser.press("j")
    assert browser.text(".note") == "This trace has no mine."
    assert browser.texts(".gauge") == []


def test_colour_is_not_alone(work: Workdir, browser: Browser) -> None:
    """A number, and a dot whose place is the number: 0 is at the left end, 1 at the right."""
    record = viewing.plain(1, True)
    record["scores"] = {"s": {"of": "validity", "x": [0.0, 1.0]}}
    browser.open(page(work, record))
    places, colours = browser.run(
        "[[...document.querySelectorAll('.gauge')].map(gauge => {"
        "const track = gauge.querySelector('.track').getBoundingClientRect(),"
        "dot = gauge.querySelector('.dot').getBoundingClientRect();"
        "return [dot.left - track.left, track.right - dot.right]; }),"
        "[...document.querySelectorAll('.dot')].map(one => getComputedStyle(one).backgroundColor)]"
    )
    assert places[0][0] == pytest.approx(0, abs=0.5)
    assert places[1][1] == pytest.approx(0, abs=0.5)
    assert colours[0] != colours[1]


def test_the_first_error_is_marked(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.labelled(), viewing.plain(1, True)))
    assert browser.run("[...document.querySelectorAll('.step.error')].map(s => s.id)") == ["step-2"]
    assert browser.texts(".badge.error") == ["✗ first error (first)"]
    assert browser.texts("#step-2 .badge.gold") == ["✗ first error in gold"]
    assert browser.texts("#step-1 .badge.gold") == ["✓ gold"]
    assert browser.run("[...document.querySelectorAll('.row i')].map(i => i.className)[1]") == (
        "error low"
    )
    browser.press("e")
    assert browser.run("document.activeElement.closest('.step').id") == "step-2"
    browser.press("j")
    assert browser.texts(".step.error") == []


def lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


def test_siblings_and_rollouts(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.labelled()))
    assert browser.texts(".more") == [
        "4 rollouts",
        "2 siblings · 5 rollouts",
        "2 siblings · 4 rollouts",
    ]
    browser.click("#step-1 .more")
    siblings = [lines(text) for text in browser.texts("#step-1 .sibling")]
    assert siblings == [
        ["0.83", "5/6 +1?", "6 * 7 = 42.", "this step"],
        ["0.00", "0/1", "6 * 7 = 48."],
        [MISSING, "0/0 +1?", "Let us see."],
    ]
    rollouts = [lines(text) for text in browser.texts("#step-1 .rollout")]
    assert rollouts == [
        ["✓", f"2{TIMES}", "42 - 2 = 40.", "40 + 1 = 41.", "So 41.", "41"],
        ["✓", "42 - 2 = 40.", "So 41.", "41"],
        ["✗", "42 - 2 = 41.", "So 42.", "42"],
        ["?", "2 is taken away, or", "cut off, no answer"],
    ]
    assert browser.texts("#step-1 .rollout.undecided") == [browser.texts("#step-1 .rollout")[-1]]
    assert browser.run("document.querySelector('#step-1 .rollout').title") == "draws 0, 4"
    browser.click("#step-1 .more")
    assert browser.texts(".details") == []


def test_a_search_is_its_best_path_with_siblings(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.searched()))
    assert lines(browser.text("header.head")) == [
        "searched",
        "best path",
        "✓ right",
        "answer 4 · reference 4",
    ]
    assert browser.text("#colour option:checked") == "leaves (share)"
    steps = [text.strip() for text in browser.texts(".step .text")]
    assert steps == ["before the first step", "b", "c", "end"]
    assert browser.texts(".step .gauge .counts") == ["2/4 +1?", "2/3 +1?", "2/2", "verdict"]
    browser.click("#step-1 .more")
    assert [lines(text) for text in browser.texts("#step-1 .sibling")] == [
        ["0.67", "2/3 +1? · prm 0.20", "b", "this step"],
        ["0.00", "0/1 · prm 0.80", "a"],
    ]
    assert "attempts that ended at them or below" in browser.text("#step-1 .details")


def test_the_curve(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.labelled()))
    browser.wait("document.querySelector('.point') !== null")  # drawn when its width is known
    places = browser.run(
        "[...document.querySelectorAll('.point circle')].map(c => Number(c.getAttribute('cy')))"
    )
    heights = [(places[2] - y) / (places[2] - places[1]) * 0.75 for y in places]
    assert heights == pytest.approx([2 / 3, 0.75, 0, 0])  # of step 3 nothing is known
    assert browser.run("document.querySelectorAll('.whisker').length") == 3
    # a gap stays a gap: one line over the first three points, and a point alone
    line = browser.run("document.querySelector('.curve.main').getAttribute('d')")
    assert (line.count("M"), line.count("L")) == (2, 2)
    assert browser.texts("text.gold") == ["✓", "✗"]
    assert browser.texts("text.error") == ["✗ first, gold"]
    assert browser.texts(".toggle") == ["judge"]
    browser.click(".toggle")
    assert browser.run("document.querySelectorAll('.mark.over').length") == 4
    assert browser.run("document.querySelector('.toggle').ariaPressed") == "true"
    browser.hover(".point:nth-of-type(2) .reach")
    assert browser.text("#tip").split("\n") == TIPS[1]


def test_the_curve_of_a_long_trace(work: Workdir, browser: Browser) -> None:
    steps = [f"step {number}\n" for number in range(1000)]
    x, k = [number % 5 / 4 for number in range(1000)], [number % 5 for number in range(1000)]
    label = {"of": "value", "by": "sampler", "x": x, "k": k, "n": [4] * 1000}
    marks = {"mine": label, "gold": {"first": 500}, "first": {"first": 490}}
    record = viewing.plain(1, True) | {"steps": steps, "response": "".join(steps), "labels": marks}
    browser.open(page(work, record))
    browser.wait("document.querySelector('.point') !== null")
    assert browser.run("document.querySelectorAll('.band').length") == 1000
    assert browser.texts(".whisker") == []
    ticks = [text for text in browser.texts(".tick") if "." not in text]
    assert ticks[1:4] == ["100", "200", "300"]
    first, second = browser.run(
        "[...document.querySelectorAll('text.error')].map(one => one.getBoundingClientRect().top)"
    )
    assert abs(first - second) > 10  # ten steps apart, one would be written over the other
    browser.hover(".point:nth-of-type(1000) .reach")
    assert browser.text("#tip").startswith("Step 1000: value 1.00")


def test_steps_of_others_have_no_number(work: Workdir, browser: Browser) -> None:
    record = viewing.plain(1, True) | {"role": ["tool", "assistant"]}
    record["scores"] = {"s": {"of": "validity", "x": [None, 0.25]}}
    browser.open(page(work, record))
    assert browser.text("#step-1 .role") == "tool"
    browser.hover("#step-1 .gauge")
    assert browser.text("#tip").split("\n")[1] == "not the model's own text: it has no number"
    assert browser.texts(".gauge .x") == [MISSING, "0.25"]


# ---- addresses and keys ---------------------------------------------------------------------


def test_an_address_names_a_trace(work: Workdir, browser: Browser) -> None:
    twin = viewing.plain(3, False, "twin") | {"id": "a/0"}
    made = page(work, viewing.plain(1, True), viewing.labelled(), twin)
    browser.open(made, A0)
    assert browser.text("h2") == "a/0"
    assert browser.run("document.title") == f"a/0 {MISSING} step-view"
    assert browser.run("document.querySelector('.row[aria-selected=true] b').innerText") == "a/0"
    browser.open(made, "#a%2F0%2F2")
    assert "twin" in browser.text("#step-1")
    for nowhere in ("#nobody", "#%E0%A4%A"):
        browser.open(made, nowhere)
        assert browser.text("h2") == "t1"
    browser.click(".row:nth-child(2)")
    assert (browser.run("location.hash"), browser.text("h2")) == (A0, "a/0")
    browser.run("history.back()")
    browser.wait("document.querySelector('h2').innerText === 't1'")


def test_keys(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, *several()))
    for key, expected in (("j", "t2"), ("j", "t3"), ("k", "t2"), ("k", "t1"), ("k", "t1")):
        browser.press(key)
        assert browser.text("h2") == expected
    browser.run("document.getElementById('list').focus()")
    browser.press("ArrowDown")
    assert browser.text("h2") == "t2"
    browser.press("/")
    assert browser.run("document.activeElement.id") == "search"
    browser.type("fig")
    browser.wait("document.getElementById('count').value === '2 of 7 traces'")
    browser.press("ArrowDown")
    assert browser.text("h2") == "t6"
    browser.press("j")
    assert browser.text("h2") == "t7"
    browser.press("?")
    assert browser.run("document.getElementById('help').open")
    assert "next trace" in browser.text("#help")


def test_steps_are_reached_by_tab_and_opened_by_enter(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.labelled()))
    browser.run("document.querySelector('#step-1 .gauge').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r")
    assert len(browser.texts("#step-1 .sibling")) == 3
    assert browser.run("document.querySelector('#step-1 .more').ariaExpanded") == "true"


# ---- light and dark, narrow and wide --------------------------------------------------------


def lightness(browser: Browser, selector: str = "body", what: str = "backgroundColor") -> float:
    """Of a colour, from 0 to 255."""
    colour = browser.run(f"getComputedStyle(document.querySelector('{selector}')).{what}")
    parts = [float(part) for part in colour.split("(")[1].rstrip(")").split(",")[:3]]
    return sum(parts) / 3


def test_light_and_dark(work: Workdir, browser: Browser) -> None:
    made = page(work, viewing.labelled())
    pictures = set()
    for dark in (False, True):
        browser.view(*WIDE, dark=dark)
        browser.open(made)
        assert (lightness(browser) < 60) == dark
        assert (lightness(browser, "body", "color") < 60) != dark
        picture = browser.picture()
        assert struct.unpack(">II", picture[16:24]) == WIDE
        pictures.add(picture)
    assert len(pictures) == 2
    browser.press("t")  # dark system, light by hand
    assert lightness(browser) > 200
    browser.open(made)  # remembered
    assert lightness(browser) > 200
    browser.press("t")
    browser.view(*WIDE, dark=False)
    assert lightness(browser) < 60
    browser.press("t")
    assert lightness(browser) > 200


CONTRAST = """(() => {
  const seen = colour => { const c = document.createElement('canvas').getContext('2d');
    c.fillStyle = colour; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const under = element => { for (; element; element = element.parentElement) {
    const found = seen(getComputedStyle(element).backgroundColor);
    if (found[3] === 255) return found; } };
  return [...document.querySelectorAll('b, .text, p.problem, dd, .meaning, .counts, .x, .badge,'
      + '.more, .verdict, #count, .row .problem, .tick')].map(element => {
    const style = getComputedStyle(element);
    const [a, b] = [light(seen(element.matches('.tick') ? style.fill : style.color)),
                    light(under(element))];
    return [element.className?.baseVal ?? element.className,
            (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; });
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out(work: Workdir, browser: Browser, dark: bool) -> None:
    """WCAG's contrast of 4.5, under light and dark."""
    browser.view(*WIDE, dark=dark)
    browser.open(page(work, viewing.labelled()))
    found = browser.run(CONTRAST)
    assert len(found) > 30
    assert [(name, ratio) for name, ratio in found if ratio < 4.5] == []


def visible(browser: Browser, selector: str) -> bool:
    return bool(browser.run(f"document.querySelector('{selector}').checkVisibility()"))


def test_narrow_shows_the_list_or_the_trace(work: Workdir, browser: Browser) -> None:
    browser.view(*NARROW)
    browser.open(page(work, viewing.plain(1, True), viewing.labelled(), viewing.hostile()))
    assert (visible(browser, "#side"), visible(browser, "#trace")) == (True, False)
    browser.click(".row:nth-child(2)")
    assert (visible(browser, "#side"), visible(browser, "#trace")) == (False, True)
    assert browser.text("h2") == "a/0"
    browser.press("j")
    assert browser.run("document.documentElement.scrollWidth") <= NARROW[0]
    assert browser.run("document.getElementById('trace').scrollWidth") <= NARROW[0]
    assert struct.unpack(">II", browser.picture()[16:24]) == NARROW
    browser.click("#back")
    assert (visible(browser, "#side"), visible(browser, "#trace")) == (True, False)


def test_wide_shows_both(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.labelled()))
    assert visible(browser, "#side") and visible(browser, "#trace")
    assert not visible(browser, "#back")


# ---- formulas, code and light Markdown ------------------------------------------------------

MARKED = (
    "## Step 1\nWe have \\(\\frac{1}{2} < x\\), so **it** is *less*:\n"
    "\\[ x = \\boxed{5} \\]\nRun `a * b`:\n```python\nprint(5 * 2)\n```\n- It costs $5 and $6.\n"
)


def marked_page(work: Workdir, **more: Any) -> Path:
    record = viewing.plain(1, True) | {"response": MARKED, "steps": [MARKED]} | more
    return page(work, record)


def test_formulas_and_marks_are_seen(work: Workdir, browser: Browser) -> None:
    browser.open(marked_page(work))
    seen = browser.text("#step-1 .text")
    assert "\\" not in seen and "**" not in seen and "`" not in seen and "#" not in seen
    assert "It costs $5 and $6." in seen
    assert browser.texts("#step-1 .heading") == ["Step 1\n"]
    assert browser.texts("#step-1 strong.bold") == ["it"]
    assert browser.texts("#step-1 em") == ["less"]
    assert browser.texts("#step-1 code") == ["a * b", "print(5 * 2)\n"]
    assert browser.run("document.querySelectorAll('#step-1 math').length") == 2
    tall, small = browser.run(
        "[...document.querySelectorAll('#step-1 mfrac, #step-1 mn')].slice(0, 2)"
        ".map(one => one.getBoundingClientRect().height)"
    )
    assert tall > 1.5 * small  # a fraction is drawn as one
    assert (
        browser.run("getComputedStyle(document.querySelector('menclose')).borderTopWidth") == "1px"
    )
    code = "getComputedStyle(document.querySelector('#step-1 .fence code')).fontFamily"
    assert "mono" in browser.run(code)
    assert browser.complaints == [] and browser.requests[1:] == []


def test_texts_as_they_are_written(work: Workdir, browser: Browser) -> None:
    browser.open(marked_page(work))
    for turn in (lambda: browser.press("w"), lambda: browser.click("#written")):
        turn()
        assert browser.text("#step-1 .text").split() == MARKED.split()
        turn()
        assert "\\frac" not in browser.text("#step-1 .text")
    title = browser.run("document.querySelector('#step-1 .formula').title")
    assert title == "\\(\\frac{1}{2} < x\\)"


def test_a_search_finds_what_is_written_in_a_formula(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.plain(2, True), viewing.plain(1, True) | {
        "response": MARKED, "steps": [MARKED]}))  # fmt: skip
    search(browser, "\\frac", "1 of 2 traces")
    browser.press("ArrowDown")
    assert len(browser.texts("#step-1 .formula.found")) == 1
    search(browser, "is *less", "1 of 2 traces")
    assert browser.texts("#step-1 mark") != []


def test_a_reference_solution_is_folded(work: Workdir, browser: Browser) -> None:
    browser.open(marked_page(work, answer="It is 2 + 3 = $5$.\n#### 5"))
    assert "reference 5" in browser.text("header.head")
    assert browser.run("document.querySelector('.solution').open") is False
    browser.click(".solution summary")
    assert browser.text(".solution .text").split()[-2:] == ["####", "5"]
    assert len(browser.texts(".solution math")) == 1
    search(browser, "2 + 3", "1 trace")
    assert browser.run("document.querySelector('.solution').open") is True


def test_wide_formulas_do_not_widen_a_narrow_page(work: Workdir, browser: Browser) -> None:
    long = " = ".join(f"{number} \\times {number}" for number in range(10, 40))
    text = f"\\({long}\\)\n\\[{long}\\]\n```\n{'x = ' * 100}\n```\n"
    record = viewing.plain(1, True) | {"response": text, "steps": [text], "problem": text}
    browser.view(*NARROW)
    browser.open(page(work, record), "#t1")
    assert browser.run("document.getElementById('trace').scrollWidth") <= NARROW[0]
    assert (
        browser.run("document.querySelectorAll('#step-1 .formula:not(.display) math').length") == 30
    )


# ---- texts that would break a page ----------------------------------------------------------


def test_hostile_texts_are_texts(work: Workdir, browser: Browser) -> None:
    record = viewing.hostile()
    browser.open(page(work, record, viewing.labelled()))
    names = browser.texts("#measure option")
    assert viewing.HOSTILE[0] in " ".join(names)
    browser.run("document.querySelectorAll('.toggle, .more').forEach(one => one.click())")
    shown = browser.run(
        "[...document.querySelectorAll('.body > .text:not(.start)')].map(one => {"
        "for (const h of one.querySelectorAll('.hidden')) h.replaceWith(String.fromCodePoint("
        "parseInt(h.textContent.slice(2), 16))); return one.textContent; })"
    )
    assert shown == record["steps"]
    assert browser.run("document.querySelectorAll('main img, main script, main b b').length") == 0
    for gauge in range(1, len(record["steps"]) + 1):
        browser.hover(f"#step-{gauge} .gauge")
    browser.press("j")
    assert browser.text("h2") == "a/0"
    browser.press("k")
    assert browser.run("location.hash.length") > 100


def test_hostile_formulas_are_texts(work: Workdir, browser: Browser) -> None:
    text = (
        r"\(\text{<img src=x onerror=window.broken=7>}\) \(\href{javascript:window.broken=8}{x}\) "
        r"$\style{position:fixed}{y}$ **<b onclick=1>x</b>** `<script>window.broken = 9</script>` "
        "\\(a\u202eb\\)\n```<style>\n</script><b>\n```"
    )
    browser.open(page(work, viewing.plain(1, True) | {"response": text, "steps": [text]}))
    seen = browser.text("#step-1 .text").replace("\xa0", " ")
    assert "<img src=x onerror=window.broken=7>" in seen
    assert r"\href{javascript:window.broken=8}{x}" in seen and "aU+202Eb" in seen
    made = "main img, main script, main b b, main style, main [style], main [href^=java]"
    assert browser.run(f"document.querySelectorAll('{made}').length") == 0


def test_nothing_hidden_is_left_hidden(work: Workdir, browser: Browser) -> None:
    browser.open(page(work, viewing.hostile()))
    spelled = browser.run("document.querySelector('#step-8 .text').textContent")
    assert spelled.startswith("price U+202Etxt.exeU+202C")
    left = browser.run(
        r"/[\u202a-\u202e\u2066-\u2069\u200b\u0000\u0007\u001b\u007f\ufeff]/"
        ".test(['h1', 'nav', 'main'].map(q => document.querySelector(q).textContent).join())"
    )
    assert left is False


def test_a_text_of_a_megabyte(work: Workdir, browser: Browser) -> None:
    step = "x" * 19_999 + "\U0001f600" + "y" * 1_000_000
    record = viewing.plain(1, True) | {"response": step, "steps": [step]}
    browser.open(page(work, record))
    assert browser.run("document.querySelector('.step .text').textContent.length") < 20_100
    assert browser.text(".rest") == "… all 1,020,001 characters"
    assert browser.run("document.querySelector('.step .text').firstChild.data.isWellFormed()")
    browser.click(".rest")
    assert browser.run("document.querySelector('.step .text').textContent") == step


def test_a_page_that_was_cut_off_shows_what_it_has(work: Workdir, browser: Browser) -> None:
    made = page(work, viewing.plain(1, True), viewing.plain(2, True), viewing.labelled())
    whole = made.read_bytes()
    within = whole.rindex(b'"states"')
    made.write_bytes(whole[:within])
    browser.open(made, A0)
    assert ids(browser) == ["t1", "t2", "a/0"]
    assert browser.text(".empty") == "The page was cut off within this trace."
    browser.press("k")
    assert browser.text("h2") == "t2"
    search(browser, "take 1", "1 of 3 traces")


def test_no_traces(work: Workdir, browser: Browser) -> None:
    made = work.path / "page.html"
    assert work.run("step-view", "-o", "page.html").status == 0
    browser.open(made, until="document.querySelector('.empty') !== null")
    assert browser.text(".empty") == "There are no traces here."
    assert browser.text("#count") == "0 traces"
