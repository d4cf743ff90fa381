"""Cuts that go by the tokens of a text: so many a step, or before those of low probability.

A token is known by how many bytes of the text it holds and, for confidence, by its log-probability;
the vocabulary is not needed. Where a token begins inside a character the cut goes before that
character: characters stay whole.

Confidence is the method of AdaptiveStep (arXiv 2502.13943, section 3.1): a step ends before a token
whose probability lies in the lowest two in a hundred of all tokens that the model sampled. SPO
(arXiv 2505.23564) takes a fixed threshold, TreeRL (arXiv 2506.11902) the N least probable tokens of
each text; fixed numbers of tokens are SPO's tree.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import exp
from typing import NamedTuple

from stepkit.errors import DataError
from stepkit.text.segment_rules import SegmentRule


class TextTokens(NamedTuple):
    """The tokens of a text, in order. Both [tokens].

    Attributes:
        size: bytes (UTF-8) of the text that each token holds; they add up to the text.
        logprob: log-probability in nats, or None where it is not known.
    """

    size: Sequence[int]
    logprob: Sequence[float | None]


def token_starts(text: str, size: Sequence[int]) -> list[int]:
    """Character at which each token begins, or in which it does. Linear.

    Raises DataError when the sizes do not add up to the text.
    """
    raw = text.encode("utf-8", "surrogatepass")
    ends = list(accumulate(size))
    if (ends[-1] if ends else 0) != len(raw) or any(length < 0 for length in size):
        raise DataError("the tokens do not add up to the text", "token_bytes")
    starts, place, count = [], 0, 0
    for begin in [0, *ends][: len(ends)]:
        while begin < len(raw) and raw[begin] & 0xC0 == 0x80:
            begin -= 1  # inside a character: its first byte
        if begin > place:
            count += len(raw[place:begin].decode("utf-8", "surrogatepass"))
            place = begin
        starts.append(count)
    return starts


def token_cuts(text: str, rule: SegmentRule, tokens: TextTokens | None) -> list[int]:
    """Character offsets of the cuts of a "tokens" or "confidence" rule, ascending.

    Raises DataError without the tokens that the rule needs.
    """
    if tokens is None:
        raise DataError(f'the rule "{rule["by"]}" needs to know the tokens of the text', "split.by")
    starts = token_starts(text, tokens.size)
    if rule["by"] == "tokens":
        chosen: Sequence[int] = range(rule["size"], len(starts), rule["size"])
    elif "top" in rule:
        chosen = least_probable(tokens.logprob, rule["top"])
    else:
        chosen = [
            index
            for index, logprob in enumerate(tokens.logprob)
            if logprob is not None and exp(logprob) < rule["below"]
        ]
    return sorted({starts[index] for index in chosen})


def least_probable(logprob: Sequence[float | None], count: int) -> list[int]:
    """Indices of the ``count`` least probable tokens, ascending; of equals the earlier ones.

    The first token is never among them: nothing could be cut before it.
    """
    known = [(value, index) for index, value in enumerate(logprob) if index and value is not None]
    return sorted(index for _, index in sorted(known)[:count])


def quantile(counts: Mapping[float, int], share: float) -> float:
    """A threshold, as a probability, below which lie as many of the counted log-probabilities as
    may be: at most ``share`` of them. 0.0 when none was counted.

    It lies halfway between two that were observed, at six digits where these tell them apart, so
    that it is short and the same on every machine.

    Args:
        counts: how often each log-probability occurred (they are kept to four decimals, so a file
            of any length has few different ones).
    """
    values = sorted(counts)
    if not values:
        return 0.0
    under = [0, *accumulate(counts[value] for value in values[:-1])]  # tokens below each value
    place = bisect_right(under, share * sum(counts.values())) - 1
    above = values[place]
    below = values[place - 1] if place else above - 2e-5
    short = float(f"{exp((below + above) / 2):.6g}")
    return short if exp(below) < short <= exp(above) else exp(above)
