"""The published families of process reward models, each with a profile in families/*.json."""

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


def load_profile(name: str) -> Profile:
    """The family of that name, or the profile in the file of that name. Raises UsageError."""
    if name in families():
        return families()[name]
    try:
        with open(name, encoding="utf-8") as file:
            return from_json(file.read(), f"--profile {name}")
    except FileNotFoundError:
        raise UsageError(
            f"--profile {name}: no such file, and none of the families {', '.join(families())}"
        ) from None
    except OSError as error:
        raise UsageError(f"--profile {name}: {reason(error)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--profile {name}: not UTF-8") from None
