"""The columns next to the texts of a row: ids, evidence and origin, under names no trainer reads.

Every row of a kind has the same keys with one type each: strings, whole numbers, and numbers with
a point; no null. ``id`` is a hash of the texts as they are written, so that equal rows are equal
wherever they were made; ``source`` and ``draws`` lead back to the traces and draws.
"""

from __future__ import annotations

from stepkit import schema
from stepkit.core.training_rows import PairRow, PairSide, RowOrigin, UnpairedRow
from stepkit.formats.row_layout import RowLayout, common
from stepkit.schema import Json
from stepkit.seeds import digest


def pair_metadata(row: PairRow, record: Json, layout: RowLayout, *texts: str) -> Json:
    """Columns of a pair; ``texts`` are prompt, chosen and rejected as they are written."""
    return {
        **_named("pair", row.origin, record, layout, *texts),
        **_evidence(row.chosen, "_chosen"),
        **_evidence(row.rejected, "_rejected"),
        "gap": float(row.gap),
        "probability": float(row.probability),
        "weight": float(row.weight),
        "prefix_chars": len(common(texts[1:])),
    }


def side_metadata(row: UnpairedRow, record: Json, layout: RowLayout, *texts: str) -> Json:
    """Columns of a row of one text."""
    return _named("unpaired", row.origin, record, layout, *texts) | _evidence(row.side)


def attempt_metadata(
    kind: str, origin: RowOrigin, record: Json, layout: RowLayout, *texts: str
) -> Json:
    """Columns of a row made of a whole attempt."""
    return _named(kind, origin, record, layout, *texts)


def _named(kind: str, origin: RowOrigin, record: Json, layout: RowLayout, *texts: str) -> Json:
    return {
        "id": digest(kind, *texts, layout.scope),
        "group": schema.group_of(record),
        "source": " ".join(origin.sources),
        "draws": " ".join(origin.draws),
        "step": origin.step,
        "rule": origin.rule,
        "rule_version": origin.version,
        "scope": layout.scope,
    }


def _evidence(side: PairSide, suffix: str = "") -> Json:
    return {
        f"score{suffix}": float(side.value),
        f"k{suffix}": side.k,
        f"n{suffix}": side.n,
    }
