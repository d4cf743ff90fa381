"""What an engine is asked and what it answers; no engine is here.

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
    """How tokens are chosen from logits, in the order in which it is applied.

    Logit biases, the repetition penalty and the grammar change or exclude logits; then temperature,
    then top-k, top-p and min-p on the tempered distribution (the order of vLLM and Transformers;
    llama.cpp's own chain applies temperature last). Temperature 0 takes the most probable token.
    ``top_k`` 0, ``top_p`` 1, ``min_p`` 0 and ``repetition_penalty`` 1 are off.

    Attributes:
        logit_bias: (token id, what is added to its logit) pairs; -inf bans a token.
        repetition_penalty: what the logits of tokens of the prefix and the draw are divided by,
            or multiplied by when they are negative (Keskar et al., CTRL, arXiv:1909.05858,
            section 4.1, as Transformers and vLLM have it).
        grammar: a GBNF grammar whose ``root`` the draw must follow, or "".
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()
    repetition_penalty: float = 1.0
    grammar: str = ""

    @property
    def steers(self) -> bool:
        """Whether logits are changed before anything else."""
        return bool(self.logit_bias) or self.repetition_penalty != 1.0

    @property
    def filters(self) -> bool:
        """Whether any token of the tempered distribution may be left out."""
        return self.top_k > 0 or self.top_p < 1.0 or self.min_p > 0.0


LOGPROB_DIGITS = 4
"""Decimals of a token's log-probability as it is kept: what a cut or a confidence needs."""


@dataclass(frozen=True)
class Draw:
    """Continue ``prefix`` (token ids, beginning-of-text token included) until it ends.

    Attributes:
        key: the draw's identity: equal keys are one draw.
        until: asked with the text so far after every token; once it is true the rest is not
            wanted. An engine that cannot ask goes on: who asked cuts the text anyway.
        model: which model is asked, where a command runs several (multi_engine.py).
        listed: how many of the most probable first tokens are wanted with their log-probabilities,
            of a server, which gives no others; an engine in this process answers a Read.
    """

    key: str
    prefix: tuple[int, ...]
    seed: int
    sampling: Sampling
    until: Callable[[str], bool] | None = None
    model: str = ""
    listed: int = 0


@dataclass(frozen=True)
class FinishedDraw:
    """A finished draw.

    Attributes:
        text: what was drawn, without the stop string or end-of-text token that ended it.
        finish: "stop", "length", or "until": what came next was not wanted.
        tokens: how many tokens hold ``text``; one that a stop string ended inside counts.
        ids: their ids when they detokenise to exactly ``text``, else None (a stop string ended
            inside a token, or the bytes were no UTF-8).
        logprob: sum of the log-probabilities of these tokens, under the model itself
            (temperature 1, no filter), in nats; None when the engine does not know.
        logprobs: [tokens] the log-probability of each, rounded to LOGPROB_DIGITS; empty when it
            does not know.
        listed: (text, log-probability in nats) of the most probable first tokens, as asked for.
    """

    text: str
    finish: str
    tokens: int
    ids: tuple[int, ...] | None
    logprob: float | None
    logprobs: tuple[float, ...] = ()
    listed: tuple[tuple[str, float], ...] = ()


class HeadFunction(Protocol):
    """Hidden states [rows, width] float32, behind the final norm, to numbers [rows, outputs]."""

    @property
    def outputs(self) -> int: ...

    def __call__(self, states: Any, /) -> Any: ...


@dataclass(frozen=True)
class Branch:
    """What is tried behind a beginning of a Read: a question, a forced answer, an end of text.

    Attributes:
        start: how many of the Read's ids come before it, at least 1.
        ids: what follows them instead; never empty.
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

    What is read at a position is one of four things, the first that is asked for: the logits of
    ``candidates``, what ``head`` makes of the hidden state, a ``summary`` of the distribution, or
    else the log-probability of the token that follows.

    Attributes:
        positions: strictly increasing indices into ``ids``; the output *at* an index is the
            prediction made after that token.
        candidates: token ids whose logits are wanted at each position.
        model: which model is asked, where a command runs several (multi_engine.py).
        head: applied to the hidden states (model/heads/head_network.py); the key must say which it
            is. An engine over a server has none.
        summary: the numbers of a DistributionSummary, in its order.
        branches: sequences that leave this one, read in the same way. The beginning that they
            share is evaluated once (model/local/read_engine.py).

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
    """What a distribution over the vocabulary of V tokens is like, in nats.

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
    """``values[i]``: what was read at position i; behind the Read's own positions come those of
    its branches, branch by branch.

    The candidates' logits, the head's outputs, the numbers of a DistributionSummary, or one
    log-probability in nats. Over the bytes of a text (see model/servers/byte_vocabulary.py) it is
    empty where no token begins behind position i.
    """

    values: tuple[tuple[float, ...], ...]


Request = Draw | Read
Result = FinishedDraw | Readout


@dataclass(frozen=True)
class FinishedRequest:
    """A request with its result, or with the error that is this request's alone."""

    request: Request
    result: Result | StepkitError


@dataclass
class Counters:
    """What an engine has done so far, for progress lines and ``-v``."""

    drawn_tokens: int = 0
    read_tokens: int = 0
    reused_tokens: int = 0
    decodes: int = field(default=0)


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
