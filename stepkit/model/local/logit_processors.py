"""Changes to the logits of draws before a token is chosen: biases, penalties, grammars.

State is kept per slot, and only for draws that need it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from stepkit.model.engine import Draw, Sampling


class GrammarState(Protocol):
    """The state of a grammar (see grammar.Grammar)."""

    def copy(self) -> GrammarState: ...
    def allowed(self, tokens: Any) -> Any: ...
    def accept(self, token: int) -> None: ...


class LogitProcessors:
    """Slots, and the logit processors of the draws in them.

    Args:
        parse: makes the state of a grammar from its text.
    """

    def __init__(self, n_vocab: int, slots: int, parse: Callable[[str], GrammarState]) -> None:
        self._shape = (slots, n_vocab)
        self._parse = parse
        self._parsed: dict[str, GrammarState] = {}
        self._grammars: dict[int, GrammarState] = {}
        self._seen: Any = None  # [slots, n_vocab] bool: tokens of the prefix and the draw

    def start(self, place: int, request: Draw) -> None:
        """A draw starts in slot ``place``."""
        sampling = request.sampling
        self._grammars.pop(place, None)
        if sampling.grammar:
            if sampling.grammar not in self._parsed:
                self._parsed[sampling.grammar] = self._parse(sampling.grammar)
            self._grammars[place] = self._parsed[sampling.grammar].copy()
        if sampling.repetition_penalty != 1.0:
            if self._seen is None:
                self._seen = np.zeros(self._shape, bool)
            self._seen[place] = False
            self._seen[place, list(request.prefix)] = True

    def move(self, source: int, target: int) -> None:
        """A draw moves to another slot."""
        self._grammars.pop(target, None)
        if source in self._grammars:
            self._grammars[target] = self._grammars.pop(source)
        if self._seen is not None:
            self._seen[target] = self._seen[source]

    def process(self, places: Any, logits: Any, sampling: Sampling) -> Any:
        """``logits`` [places, n_vocab] with biases and penalty, a copy where that changes any."""
        if not sampling.changes_logits:
            return logits
        logits = logits.copy()
        for token, bias in sampling.logit_bias:
            logits[:, token] += np.float32(bias)
        penalty = np.float32(sampling.repetition_penalty)
        if penalty != 1.0:
            seen = self._seen[places]
            logits[seen] = np.where(
                logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty
            )
        return logits

    def allowed(self, place: int, tokens: Any) -> Any:
        """[n] bool: which of ``tokens`` the grammar of this draw allows next."""
        return self._grammars[place].allowed(tokens)

    def accept(self, places: Any, tokens: Any, ended: Any) -> None:
        """Advance by the tokens drawn; ``ended`` [places] bool: they end the text."""
        if self._seen is not None:
            self._seen[places, tokens] = True
        if self._grammars:
            for place, token, end in zip(places, tokens, ended, strict=True):
                if int(place) in self._grammars and not end:
                    self._grammars[int(place)].accept(int(token))
