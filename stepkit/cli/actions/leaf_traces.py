"""A record with a tree as traces, one for each attempt in it: step-split --leaves and step-rollout
--emit traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stepkit.cli.actions.record_fields import derived_traces

if TYPE_CHECKING:
    from stepkit.io.jsonl import Record


def leaf_records(record: Record, rule: dict[str, Any]) -> list[Record]:
    """A copy of the record for each attempt in its tree, without the fields of another response.

    Args:
        rule: how whole rollouts are cut into steps; by a rule that needs tokens each is one step,
            since a tree does not have the ends of its tokens.

    Raises DataError when the record has no tree or a bad one.
    """
    from stepkit.core.leaves import leaf_traces
    from stepkit.search.record_tree import RESPONSE_FIELDS
    from stepkit.text.segment import split_continuation

    traces = leaf_traces(record.data, lambda text, before: split_continuation(text, rule, before))
    return derived_traces(record, RESPONSE_FIELDS, (one | {"split": rule} for one in traces))
