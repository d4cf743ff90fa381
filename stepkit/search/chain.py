"""Monte Carlo evidence at every prefix of a trace, as in Math-Shepherd.

Wang et al., "Math-Shepherd" (arXiv 2312.08935), section 3.3: from the prefix that ends with step t
a completer draws k whole remainders; how many reach the reference answer tells the step's quality
(hard estimate: any of them, formula 3; soft estimate: their share, formula 4).

Where this differs: the empty prefix is drawn from too (progress and relative first errors need its
value); the last step is not (nothing is left to draw: its value is the trace's own verdict);
undecided draws (cut off, no answer) are kept apart instead of counting as wrong; and nothing is
summed over later prefixes, so every count belongs to its own prefix.
"""

from __future__ import annotations

from typing import Any

from stepkit.schema import ROOT
from stepkit.search.growing import Asking, Growth, Place
from stepkit.search.methods import Setup
from stepkit.search.scheduler import Strategy
from stepkit.search.traces import begun, ended, judged


def start(setup: Setup, data: dict[str, Any]) -> Strategy:
    """The strategy for one record (see methods.py)."""
    growth = begun(setup, data)
    yield from judged(growth, data)
    yield from chain(growth, setup.options["draws"])
    return ended(growth, data)


def chain(growth: Growth, k: int) -> Asking:
    """Complete the tree to ``k`` draws from every prefix of its trace.

    Draws that the tree already holds are kept and not drawn again (top-up), those that ended in an
    error are. A trace without steps is drawn from at the root only.
    """
    nodes = [ROOT, *growth.tree["spine"][:-1]]
    yield from growth.drawn([Place(node, number) for node in nodes for number in range(k)])
