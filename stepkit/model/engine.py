"""The requests that an engine takes and the results that it gives; no engine is here.

An engine takes requests in any number (``submit``) and works a little at a time (``step``), so
that one loop can feed it many problems' requests and keep its batch full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from stepkit.errors import StepkitError


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen from logits, in the order of application.

    Logit biases, the repetition penalty and the grammar change or exclude logits; then temperature,
    then top-k, top-p and min-p on the tempered distribution (the order of vLLM and Transformers;
    llama.cpp's own chain applies temperature last). Temperature 0 takes the most probable token.
    ``top_k`` 0, ``top_p`` 1, ``min_p`` 0 and ``repetition_penalty`` 1 are off.

    Attributes:
        logit_bias: (token id, number added to its logit) pairs; -inf bans a token.
        repetition_penalty: the logits of tokens of the prefix and the draw are divided by it, or
            multiplied by it when they are negative (Keskar et al., CTRL, arXiv:1909.05858,
            section 4.1, as Transformers and vLLM have it).
        grammar: a GBNF grammar whose ``root`` the draw must follow, or "".
        stop_at_answer: the draw ends where its answer is complete (text/answer_end.py).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    stop_at_answer: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()
    repetition_penalty: float = 1.0
    grammar: str = ""

    @property
    def changes_logits(self) -> bool:
        """Whether biases or the penalty change logits."""
        return bool(self.logit_bias) or self.repetition_penalty != 1.0

    @property
    def filters(self) -> bool:
        """Whether any token of the tempered distribution may be excluded."""
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0


LOGPROB_DIGITS = 4
"""Decimals of a stored token log-probability: enough for cuts and confidences."""


@dataclass(frozen=True)
class Draw:
    """Continue ``prefix`` (token ids, beginning-of-text token included) until it ends.

    Attributes:
        key: the draw's identity: equal keys are one draw.
        until: called with the text so far after every token; the draw stops once it is true. An
            engine that cannot call it draws on: its caller cuts the text in any case.
        complete: called in the same way; once it is true the text has ended by itself ("stop"). An
            engine that cannot call it after every token cuts the text after the first token where
            it is true.
        model: name of the model, where a command runs several (multi_engine.py).
        listed: how many of the most probable first tokens a server is to list with their
            log-probabilities; an engine in this process answers a Read instead.
        reach: tokens of the longest prefix that is likely to be drawn from later in the same
            tree, by which an engine may choose its sizes; it decides no result.
        summaries: summarise the distribution at every token too. It changes no draw, so it is no
            part of the key; an engine over a server cannot.
    """

    key: str
    prefix: tuple[int, ...]
    seed: int
    sampling: Sampling
    until: Callable[[str], bool] | None = None
    complete: Callable[[str], bool] | None = None
    model: str = ""
    listed: int = 0
    reach: int = 0
    summaries: bool = False


@dataclass(frozen=True)
class FinishedDraw:
    """A finished draw.

    Attributes:
        text: the drawn text, without the stop string or end-of-text token that ended it.
        finish: "stop", "length", or "until": Draw.until became true.
        tokens: how many tokens hold ``text``; one that a stop string ended inside counts.
        ids: their ids when they detokenise to exactly ``text``, else None (a stop string ended
            inside a token, or the bytes were no UTF-8).
        logprob: sum of the log-probabilities of these tokens, under the model itself
            (temperature 1, no filter), in nats; None when unknown.
        logprobs: [tokens] the log-probability of each, rounded to LOGPROB_DIGITS; empty when
            unknown.
        listed: (text, log-probability in nats) of the most probable first tokens.
        summaries: [tokens] of Draw.summaries, rounded to LOGPROB_DIGITS; empty when not asked for.
    """

    text: str
    finish: str
    tokens: int
    ids: tuple[int, ...] | None
    logprob: float | None
    logprobs: tuple[float, ...] = ()
    listed: tuple[tuple[str, float], ...] = ()
    summaries: tuple[tuple[float, ...], ...] = ()


class HeadFunction(Protocol):
    """Hidden states [rows, width] float32, after the final norm, to numbers [rows, outputs]."""

    @property
    def outputs(self) -> int: ...

    def __call__(self, states: Any, /) -> Any: ...


@dataclass(frozen=True)
class Branch:
    """Another continuation of a prefix of a Read: a question, a forced answer, an end of text.

    Attributes:
        start: the length of that prefix, at least 1.
        ids: the continuation; never empty.
        positions: strictly increasing indices into ``ids`` where it is read; empty: at its last.
    """

    start: int
    ids: tuple[int, ...]
    positions: tuple[int, ...] = ()

    @property
    def read_at(self) -> tuple[int, ...]:
        """``positions``, the default filled in."""
        return self.positions or (len(self.ids) - 1,)


@dataclass(frozen=True)
class Read:
    """Read the model's output at chosen positions of one sequence, without drawing.

    One of four things is read at a position, the first that is requested: the logits of
    ``candidates``, the outputs of ``head`` on the hidden state, a ``summary`` of the distribution,
    or else the log-probability of the token that follows.

    Attributes:
        positions: strictly increasing indices into ``ids``; the output *at* an index is the
            prediction made after that token.
        candidates: token ids whose logits are read at each position.
        model: name of the model, where a command runs several (multi_engine.py).
        head: applied to the hidden states (model/heads/head_network.py); the key must identify it.
            An engine over a server has none.
        summary: the numbers of a DistributionSummary, in its order.
        branches: other continuations of its prefixes, read in the same way. A shared prefix is
            evaluated once (model/local/read_engine.py).

    Where the following token counts (a summary, or its log-probability) no position may be the
    last of its sequence.
    """

    key: str
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    candidates: tuple[int, ...] = ()
    model: str = ""
    head: HeadFunction | None = None
    summary: bool = False
    branches: tuple[Branch, ...] = ()


TOP = 20
"""Most probable tokens whose log-probabilities a DistributionSummary averages (the k of DeepConf,
Fu et al., arXiv:2508.15260: as many as servers give)."""


class DistributionSummary(NamedTuple):
    """Measures of a distribution over the vocabulary of V tokens, in nats.

    Attributes:
        logprob: log-probability of the token that follows.
        entropy: - sum p log p.
        certainty: self-certainty, the mean over the vocabulary of - log(V p): the divergence
            KL(U || p) of the uniform distribution from it (Kang et al., arXiv:2502.18581).
        top: mean log-probability of the TOP most probable tokens; its negative is DeepConf's
            token confidence.
    """

    logprob: float
    entropy: float
    certainty: float
    top: float


@dataclass(frozen=True)
class Readout:
    """``values[i]``: the numbers read at position i; after the Read's own positions come those of
    its branches, branch by branch.

    The candidates' logits, the head's outputs, the numbers of a DistributionSummary, or one
    log-probability in nats. Over the bytes of a text (see model/servers/byte_vocabulary.py) it is
    empty where no token starts after position i.
    """

    values: tuple[tuple[float, ...], ...]


Request = Draw | Read
Result = FinishedDraw | Readout


@dataclass(frozen=True)
class FinishedRequest:
    """A request with its result, or with the error of this request alone."""

    request: Request
    result: Result | StepkitError


@dataclass
class Counters:
    """Counts of an engine's work so far, for progress lines and ``-v``.

    Attributes:
        decodes: calls of the model; ``drawing_calls`` of them drew tokens, one a draw in flight.
        in_flight: draws that are worked on now.
        ended: draws that have ended.
    """

    drawn_tokens: int = 0
    read_tokens: int = 0
    reused_tokens: int = 0
    decodes: int = field(default=0)
    drawing_calls: int = field(default=0)
    in_flight: int = 0
    ended: int = 0


class Engine(Protocol):
    """Runs requests. ``step`` never waits when nothing is pending; it then returns []."""

    counters: Counters

    @property
    def pending(self) -> int:
        """Requests submitted and not yet returned."""
        ...

    def submit(self, request: Request) -> None: ...

    def step(self) -> list[FinishedRequest]: ...

    def close(self) -> None: ...
