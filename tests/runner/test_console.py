"""The progress line on a terminal."""

from __future__ import annotations

import sys
import time
from io import StringIO

import pytest
from terminals import Shown

from stepkit.runner import console


def test_what_ctrl_c_echoes_goes_with_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal writes ^C where the line ends, which tqdm's clear leaves there."""

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(console, "_line", None)
    monkeypatch.setattr(console, "_may_draw", lambda makes_way: True)
    monkeypatch.setenv("TERM", "xterm")
    with console.Progress("step-rollout", shown=True):
        while "starting" not in terminal.getvalue():
            time.sleep(0.05)
        terminal.write("^C")
        echoed = Shown(0, [(0.0, terminal.getvalue().encode())]).screen()
    assert echoed == ["step-rollout: starting^C"]
    assert Shown(0, [(0.0, terminal.getvalue().encode())]).screen() == [""]
