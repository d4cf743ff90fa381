"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings
from properties import register_profiles
from work import Workdir

register_profiles()
settings.load_profile("steady")


@pytest.fixture
def work(tmp_path: Path) -> Workdir:
    """An empty directory in which commands run."""
    return Workdir(tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under STEPKIT_NO_SKIP (.ci/run) nothing may be missing: a skip is a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("STEPKIT_NO_SKIP"):
        report.outcome = "failed"
    return report
