"""What the process waits for: the innermost activity, and for how long."""

from __future__ import annotations

import pytest

from stepkit.activity import activity, current_activity


def words() -> str | None:
    now = current_activity()
    return now and now[0]


def test_the_innermost_one_is_current() -> None:
    assert words() is None
    with activity("loading a"):
        with activity("fetching b") as replace:
            replace("fetching b, 3 of 9 MB")
            assert words() == "fetching b, 3 of 9 MB"
        assert words() == "loading a"
    assert words() is None


def test_an_error_ends_it() -> None:
    with pytest.raises(ValueError), activity("loading a"):
        raise ValueError
    assert words() is None


def test_other_words_do_not_start_the_time_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 50.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with activity("a") as replace:
        now = 53.0
        replace("b")
        assert current_activity() == ("b", 3.0)
