"""How many examples a property is tried on: the same ones in `make test`, fresh ones in torture."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from work import ROOT

USUAL = 100
"""Examples of a property that does not say how many it needs."""


def register_profiles() -> None:
    """ "steady" draws the same examples every time; "torture" fresh ones, ten times as many.

    No clock decides in either: a busy machine is slow to draw and to try, and no property is about
    that. Counts still do (examples that are filtered away, or too large).
    """
    settings.register_profile(
        "steady",
        derandomize=True,
        max_examples=USUAL,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
        print_blob=True,
    )
    settings.register_profile(
        "torture",
        settings.get_profile("steady"),
        derandomize=False,
        max_examples=10 * USUAL,
        database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples"),
    )


def examples(count: int) -> settings:
    """``count`` examples of a property in `make test`, and as many times more as others in torture.

    Needed where one example costs much, or where the usual number leaves too much untried.
    """
    return settings(max_examples=count * settings().max_examples // USUAL)
