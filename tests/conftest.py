"""Fixtures that every test may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from work import Workdir


@pytest.fixture
def work(tmp_path: Path) -> Workdir:
    """An empty directory in which commands run."""
    return Workdir(tmp_path)
