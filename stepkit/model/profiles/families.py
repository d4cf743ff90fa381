"""The published families of process reward models: a profile each, in families/*.json."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from stepkit.errors import UsageError, reason
from stepkit.model.profiles.parsing import from_json
from stepkit.model.profiles.profile import Profile

FOLDER = Path(__file__).parent / "families"


@cache
def families() -> dict[str, Profile]:
    """Profiles by name, in the order of their names."""
    return {
        path.stem: from_json(path.read_text(encoding="utf-8"), f"the profile {path.stem}")
        for path in sorted(FOLDER.glob("*.json"))
    }


def load_profile(said: str) -> Profile:
    """The family called ``said``, or the profile in the file of that name. Raises UsageError."""
    if said in families():
        return families()[said]
    try:
        with open(said, encoding="utf-8") as file:
            return from_json(file.read(), f"--profile {said}")
    except FileNotFoundError:
        raise UsageError(
            f"--profile {said}: no such file, and none of the families {', '.join(families())}"
        ) from None
    except OSError as error:
        raise UsageError(f"--profile {said}: {reason(error)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--profile {said}: not UTF-8") from None
