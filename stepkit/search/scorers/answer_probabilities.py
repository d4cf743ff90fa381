"""A forced choice: the probabilities of a few answers after a prompt, read without drawing.

An answer has several spellings (``Yes``, `` Yes``, ``yes``), whose probabilities are summed; all
other tokens are left out. A spelling of several tokens counts by its first one, unless another
answer may start with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Protocol

from stepkit.core.common_prefix import common_length
from stepkit.errors import UsageError
from stepkit.model.engine import Branch, Draw, FinishedDraw, Read, Readout, Sampling
from stepkit.model.prefixes import Ids, Prefixes
from stepkit.search.scheduler import Strategy
from stepkit.seeds import digest

Shares = tuple[float, ...]
"""The probability of each answer, among the answers alone."""

LISTED = 20
"""Most probable tokens that a server is asked to list; the most that vLLM lists by default."""
FEW = 5
"""The same for servers of an unknown kind: the most that OpenAI's protocol allows."""


class AnswerProbabilities(Protocol):
    """Reads which answer a model would choose."""

    def choose(self, prompts: Sequence[Ids]) -> Strategy[list[Shares | None]]:
        """The shares of the answers after each prompt; None where the model gives none of them."""
        ...


def spellings(answer: str) -> tuple[str, ...]:
    """The ways in which a reply may start with an answer: as it is, capitalised and in small
    letters, each with and without a space before it. Commas separate several answers of the same
    meaning."""
    forms = []
    for word in filter(None, map(str.strip, answer.split(","))):
        forms += [word, word[:1].upper() + word[1:], word.lower()]
    return tuple(dict.fromkeys(before + form for form in forms for before in ("", " ")))


class LocalAnswerProbabilities:
    """Reads a model in this process: all prompts in one Read, which evaluates a shared prefix once.

    Args:
        answers: the spellings of each answer.
        option: the option to name in the error for answers that this model cannot distinguish.
        model: name of the model among several (model/multi_engine.py).

    Raises UsageError when an answer has no token of its own.
    """

    def __init__(
        self, prefixes: Prefixes, answers: Sequence[Sequence[str]], option: str, model: str = ""
    ) -> None:
        self._tokens = _tokens(prefixes, answers, option)
        self._candidates = tuple(token for own in self._tokens for token in own)
        self._model = model

    def choose(self, prompts: Sequence[Ids]) -> Strategy[list[Shares | None]]:
        if not prompts:
            return []
        different = sorted(dict.fromkeys(prompts), key=len, reverse=True)
        trunk, last = different[0], len(different[0]) - 1
        branches = tuple(_branch(trunk, prompt) for prompt in different[1:])
        parts = [[branch.start, branch.ids] for branch in branches]
        key = digest("choose", trunk, parts, self._candidates, size=12)
        (readout,) = yield [
            Read(key, trunk, (last,), self._candidates, self._model, branches=branches)
        ]
        assert isinstance(readout, Readout)
        shares = dict(zip(different, map(self._shares, readout.values), strict=True))
        return [shares[prompt] for prompt in prompts]

    def _shares(self, logits: Sequence[float]) -> Shares:
        highest, weights, at = max(logits), [], 0
        for own in self._tokens:
            weights.append(sum(exp(logit - highest) for logit in logits[at : at + len(own)]))
            at += len(own)
        return _normalised(weights)


class ServedAnswerProbabilities:
    """Asks a server for its most probable first tokens.

    An answer none of whose tokens is listed counts as impossible: it is less probable than the last
    one listed. Where no answer is listed the shares are unknown.

    Args:
        listed: how many tokens to ask for.
    """

    def __init__(self, answers: Sequence[Sequence[str]], listed: int) -> None:
        self._answers = answers
        self._listed = listed

    def choose(self, prompts: Sequence[Ids]) -> Strategy[list[Shares | None]]:
        sampling = Sampling(temperature=0.0, max_tokens=1)
        requests = []
        for prompt in prompts:
            key = digest("choose", prompt, self._listed, size=12)
            requests.append(Draw(key, prompt, 0, sampling, listed=self._listed))
        draws = (yield requests) if requests else []
        return [self._shares(draw) for draw in draws]

    def _shares(self, draw: FinishedDraw) -> Shares | None:
        weights = [0.0] * len(self._answers)
        for text, logprob in draw.listed:
            answers = _answers_starting_with(text, self._answers)
            if len(answers) == 1:
                weights[answers[0]] += exp(logprob)
        return _normalised(weights) if sum(weights) > 0.0 else None


def log_odds(share: float, least: float = 1e-9) -> float:
    """Log-odds in nats of a share, which is kept away from 0 and 1 by ``least``."""
    share = min(max(share, least), 1.0 - least)
    return log(share / (1.0 - share))


def _normalised(weights: Sequence[float]) -> Shares:
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def _branch(trunk: Ids, prompt: Ids) -> Branch:
    start = min(common_length(trunk, prompt), len(prompt) - 1)
    return Branch(start, prompt[start:])


def _tokens(
    prefixes: Prefixes, answers: Sequence[Sequence[str]], option: str
) -> list[tuple[int, ...]]:
    """The tokens of each answer. Raises UsageError."""
    ids = [[prefixes.model.tokenize_exact(text) or () for text in answer] for answer in answers]
    firsts = [{spelled[0] for spelled in answer if spelled} for answer in ids]
    found = []
    for number, answer in enumerate(ids):
        others = set().union(*(other for at, other in enumerate(firsts) if at != number))
        own = dict.fromkeys(spelled[0] for spelled in answer if spelled)
        found.append(tuple(token for token in own if token not in others))
        if not found[-1]:
            raise UsageError(
                f'{option}: to this model "{answers[number][0]}" begins like another answer, or '
                "cannot be said; choose other words"
            )
    return found


def _answers_starting_with(text: str, answers: Sequence[Sequence[str]]) -> list[int]:
    """The answers with a spelling that starts with the text of a token."""
    if not text.strip():
        return []
    return [
        number
        for number, answer in enumerate(answers)
        if any(spelled.startswith(text) for spelled in answer)
    ]
