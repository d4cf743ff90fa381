"""Seeds and identities that derive from content, never from order or time.

A draw's identity is what its seed is made of: equal keys are one draw. So a seed does not change
when records are filtered, reordered, resumed or topped up.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def digest(*parts: object, size: int = 8) -> str:
    """Hash ``parts`` to ``2 * size`` hexadecimal digits.

    Every part goes in with its length and kind: ("ab", "c") and ("a", "bc"), 1 and "1" differ.
    Accepts str, bytes, int, float, bool, None and (nested) lists and tuples of them.
    """
    pieces: list[bytes] = []
    _spell(parts, pieces)
    return blake2b(b"".join(pieces), digest_size=size).hexdigest()


def _spell(parts: Iterable[object], pieces: list[bytes]) -> None:
    for part in parts:
        if type(part) is str:  # nearly every part
            raw = part.encode("utf-8", "surrogatepass")
            pieces += (b"s%d:" % len(raw), raw)
        elif isinstance(part, (list, tuple)):
            pieces.append(b"L%d:" % len(part))
            _spell(part, pieces)
        else:
            raw = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
            kind = b"b" if isinstance(part, bytes) else type(part).__name__[:1].encode()
            pieces += (b"%s%d:" % (kind, len(raw)), raw)


def seed(*parts: object) -> int:
    """A seed in ``0 .. 2**63 - 1`` (it fits a JSON integer everywhere) made of ``parts``."""
    return int(digest(*parts), 16) >> 1


PURPOSES = ("attempt", "step", "value")
"""What a draw is for; part of its seed, so that an attempt is never drawn again as evidence of its
own prefix (which would count a trace as a witness for itself)."""


def draw_seed(sampler: str, purpose: str, prefix: str, draw: int) -> int:
    """Seed of one draw.

    Args:
        sampler: digest of everything that decides a draw (model, template, sampling, run seed).
        purpose: one of PURPOSES.
        prefix: digest of the prompt's and the prefix's token ids.
        draw: number of the draw at this prefix, from 0.
    """
    return seed("draw", sampler, purpose, prefix, draw)
