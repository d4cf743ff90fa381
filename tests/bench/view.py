"""step-view's page in a real browser: how long until it is seen, and until a key has searched it.

    python tests/bench/view.py [TRACES]

Makes a page of TRACES (5,000) traces with their rollouts, some 20 MB, opens it, and prints
milliseconds: from the start of loading until the list and a trace are painted; then for each key of
a query until the list shows its result; and the longest time that the page was deaf.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))

import evidence  # noqa: E402
from browser import Browser, executable  # noqa: E402

WORDS = ["apple", "seven", "marble", "train", "candle", "river", "stone", "window", "letter"]
QUERY = "candle s"

PAINTED = """new Promise(done => requestAnimationFrame(() => setTimeout(() => done(Math.round(
  Math.max(performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd,
           performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0))))))"""

WATCH = """(window.longest = 0, new PerformanceObserver(list => {
  for (const one of list.getEntries()) longest = Math.max(longest, one.duration);
}).observe({type: 'longtask'}), null)"""

KEY = """(async query => {
  const search = document.getElementById('search'), count = document.getElementById('count');
  const changed = new Promise(done => new MutationObserver((_, all) => (all.disconnect(), done()))
    .observe(document.getElementById('rows'), {childList: true}));
  const began = performance.now();
  search.value = query;
  search.dispatchEvent(new Event('input'));
  await changed;
  await new Promise(done => requestAnimationFrame(done));
  return [Math.round(performance.now() - began), count.value];
})"""


def traces(count: int) -> str:
    """Traces of different problems; each with long draws, so that a trace takes 4 kB."""
    rng = random.Random(1)
    lines = []
    for number in range(count):
        trace = evidence.trace(number)
        trace["problem"] += " " + " ".join(rng.choice(WORDS) for _ in range(40))
        tree = trace["tree"]
        for node, whole in enumerate(tree["whole"]):
            if whole:
                tree["text"][node] += " " + " ".join(rng.choice(WORDS) for _ in range(90))
        lines.append(json.dumps(trace) + "\n")
    return "".join(lines)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    program = executable()
    assert program is not None, "needs a browser: apt install chromium"
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        began = time.perf_counter()
        command: list[str | Path] = [sys.executable, ROOT / "bin" / "step-view", "-o", page]
        subprocess.run(command, input=traces(count).encode(), check=True)
        made = time.perf_counter() - began
        browser = Browser(program, Path(folder, "profile"))
        try:
            browser.view(1400, 900)
            browser.open(page)
            size = page.stat().st_size / 1e6
            say(f"{count} traces, {size:.1f} MB, made in {made:.1f} s")
            say(f"loaded and painted: {browser.run(PAINTED)} ms")
            browser.run(WATCH)
            say(f"first key, while reading ahead: {browser.run(f'{KEY}({QUERY[0]!r})')}")
            browser.wait("document.documentElement.dataset.searchable === 'yes'")
            for end in range(2, len(QUERY) + 1):
                say(f"{QUERY[:end]!r}: {browser.run(f'{KEY}({QUERY[:end]!r})')}")
            say(f"all again: {browser.run(f'{KEY}(``)')}")
            say(f"longest task while searching: {browser.run('Math.round(longest)')} ms")
        finally:
            browser.close()


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
