"""The completions protocol (OpenAI's ``/v1/completions``): requests and responses; no network.

Servers share the format and differ in the rest. Everything that shapes the distribution is stated
explicitly, because their defaults differ: llama-cpp-python takes top-k 40 and a repetition penalty,
vLLM and SGLang what the model's own ``generation_config.json`` recommends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from stepkit.errors import UsageError
from stepkit.model.engine import LOGPROB_DIGITS, Draw, FinishedDraw, Read, Readout, Sampling
from stepkit.schema import Json

Piece = tuple[bytes, "float | None"]
"""The bytes of a token and its log-probability."""

KINDS = {"llamacpp": "llama.cpp", "me": "llama-cpp-python", "vllm": "vLLM", "sglang": "SGLang"}
"""Owner of the models that a server lists -> the kind of server."""

OTHER = "other"

SEEDS = 2**31 - 1
"""Seeds are sent in 1 .. SEEDS: every server takes these, and for some 0 means none."""

PROBE = "What is 12 + 30?\n"

ECHO_TOLERANCE = 0.25
"""Nats. Reading and drawing round differently; a shift by one token is far more."""


class MalformedResponse(Exception):
    """A response that breaks the protocol. ``str()`` is one line."""


def draw_request(
    draw: Draw, prompt: str | list[int], model: str, kind: str, logprobs: bool
) -> Json:
    """The body of a request for ``draw``.

    Args:
        prompt: the prefix in the form that the server gets.
        model: the server's name of the model.
        kind: one of KINDS' values, or OTHER.
        logprobs: whether to ask for the tokens' log-probabilities.
    """
    sampling = draw.sampling
    body = {
        "model": model,
        "prompt": prompt,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": draw.seed % SEEDS + 1,
        **_filters(sampling, kind),
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if logprobs:
        body["logprobs"] = max(1, draw.listed)
    return body


def _filters(sampling: Sampling, kind: str) -> Json:
    """The filters that OpenAI's protocol lacks, as each server spells them."""
    filters: Json = {"top_k": sampling.top_k, "min_p": sampling.min_p}
    if kind == OTHER:
        # those that are off are left out: a server that does not know them may refuse the request
        return {name: value for name, value in filters.items() if value}
    if kind in ("vLLM", "SGLang"):
        return {**filters, "top_k": sampling.top_k or -1, "repetition_penalty": 1.0}
    filters["repeat_penalty"] = 1.0
    if kind == "llama.cpp":
        return {**filters, "samplers": ["temperature", "top_k", "top_p", "min_p"]}
    return filters


def check_request(model: str, max_tokens: int = 1, prompt: str | list[int] = PROBE) -> Json:
    """The body of a small request that any server can answer."""
    return {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0.0}


def check_readable(read: Read) -> None:
    """Raise UsageError for a read beyond the protocol, which gives the log-probabilities of a
    text's own tokens and nothing else."""
    requested = {
        "hidden states": read.head is not None,
        "logits of chosen tokens": bool(read.candidates),
        "whole distributions": read.summary,
        "reads after parts of a text": bool(read.branches),
    }
    for what, wanted in requested.items():
        if wanted:
            raise UsageError(f"a server gives no {what}: run the model here")


def echo_request(prompt: str, model: str, max_tokens: int = 1) -> Json:
    """The body of a request for the log-probabilities of the prompt's own tokens."""
    return {
        "model": model,
        "prompt": prompt,
        "max_tokens": max_tokens,  # not 0, which for some servers means no limit
        "temperature": 0.0,
        "echo": True,
        "logprobs": 1,
    }


class StreamedCompletion:
    """A response that arrives in pieces, put together.

    Args:
        complete: as Draw.complete.
    """

    def __init__(self, complete: Callable[[str], bool]) -> None:
        self._complete = complete
        self._choice: Json = {"text": "", "finish_reason": None, "logprobs": None}
        self._usage: Json | None = None
        self._events = 0

    def add(self, event: Json) -> bool:
        """Add a piece; returns whether the text is complete. Raises MalformedResponse."""
        if isinstance(event.get("usage"), dict):
            self._usage = event["usage"]
        if not event.get("choices") and self._events:
            return False  # a last event may hold the usage alone
        choice, own = _choice(event), self._choice
        if not isinstance(choice.get("text"), str):
            raise MalformedResponse("the answer has no text")
        self._events += bool(choice["text"])
        own["text"] += choice["text"]
        own["finish_reason"] = choice.get("finish_reason") or own["finish_reason"]
        own["logprobs"] = _joined(own["logprobs"], choice.get("logprobs"))
        return self._complete(own["text"])

    def response(self) -> Json:
        """The response as one that came at once. A server that was not heard to the end has not
        counted the tokens: there is one an event. Raises MalformedResponse when the stream broke
        off."""
        finish = self._choice["finish_reason"]
        if finish is None and not self._complete(self._choice["text"]):
            raise MalformedResponse("the stream broke off")
        usage = self._usage or {"completion_tokens": self._events}
        return {"choices": [{**self._choice, "finish_reason": finish or "stop"}], "usage": usage}


def _joined(before: Json | None, after: object) -> Json | None:
    """Log-probabilities of a response's first pieces and of the next one."""
    if before is None or not isinstance(after, dict):
        return after if isinstance(after, dict) else before
    return {
        name: [*before[name], *values]
        if isinstance(values, list) and isinstance(before.get(name), list)
        else values
        for name, values in after.items()
    }


def finished_draw(
    response: Mapping[str, Any], complete: Callable[[str], bool] | None = None
) -> FinishedDraw:
    """The draw in a response, cut after the first token where ``complete`` (Draw.complete) is true
    of its text. Raises MalformedResponse.

    Without log-probabilities, or where they cannot be matched with the text (its characters are
    split over tokens), ``logprob`` is None, and ``tokens`` is the server's count, which with some
    includes the token that ended it.
    """
    choice = _choice(response)
    text, finish = choice.get("text"), choice.get("finish_reason")
    if not isinstance(text, str):
        raise MalformedResponse("the answer has no text")
    if finish not in ("stop", "length"):
        raise MalformedResponse(f"the draw ended by {finish!r}")
    tokens = _tokens_of_text(text.encode("utf-8", "surrogatepass"), pieces(choice), finish)
    if complete is not None and (end := _complete_at(text, tokens, complete)) is not None:
        text, finish = text[:end], "stop"
        tokens = _tokens_of_text(text.encode("utf-8", "surrogatepass"), tokens, finish)
    values = [value for _, value in tokens or () if value is not None and math.isfinite(value)]
    if tokens is None or len(values) < len(tokens):
        return FinishedDraw(text, finish, _counted(response), None, None)
    rounded = tuple(round(value, LOGPROB_DIGITS) for value in values)
    return FinishedDraw(text, finish, len(tokens), None, sum(values), rounded)


def listed_tokens(response: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """The most probable first tokens that a response lists, with their log-probabilities; none
    where the text was at its end. Raises MalformedResponse when it has no such lists."""
    given: Any = _choice(response).get("logprobs")
    try:
        if isinstance(given.get("content"), list):
            rows = [row["top_logprobs"] for row in given["content"]]
            first = [(row["token"], row["logprob"]) for row in rows[0]] if rows else []
        else:
            first = list(given["top_logprobs"][0].items()) if given["top_logprobs"] != [] else []
        return tuple((str(text), float(value)) for text, value in first if math.isfinite(value))
    except (AttributeError, IndexError, KeyError, TypeError):
        raise MalformedResponse("the answer does not list the most probable tokens") from None


def _choice(response: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise MalformedResponse("the answer has no choices")
    return choices[0]


def _counted(response: Mapping[str, Any]) -> int:
    usage = response.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if type(count) is not int:
        raise MalformedResponse("the answer does not say how many tokens were drawn")
    return count


def pieces(choice: Mapping[str, Any]) -> list[Piece] | None:
    """The tokens of a response, in OpenAI's form or in llama.cpp's; None when it has none."""
    given = choice.get("logprobs")
    if not isinstance(given, dict):
        return None
    try:
        if isinstance(given.get("content"), list):
            return [(_bytes(row), row["logprob"]) for row in given["content"]]
        texts = [text.encode("utf-8", "surrogatepass") for text in given["tokens"]]
        return list(zip(texts, given["token_logprobs"], strict=True))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedResponse("the answer's log-probabilities have an unknown form") from None


def _bytes(row: Mapping[str, Any]) -> bytes:
    if isinstance(row.get("bytes"), list):
        return bytes(row["bytes"])
    return str(row["token"]).encode("utf-8", "surrogatepass")


def _tokens_of_text(text: bytes, tokens: list[Piece] | None, finish: str) -> list[Piece] | None:
    """The tokens that hold ``text``, without one that only ended it; None when unknown."""
    if tokens is None:
        return None
    joined = b""
    for count in range(len(tokens) + 1):
        if len(joined) >= len(text):
            if joined.startswith(text):
                return tokens[:count]
            break
        joined += tokens[count][0] if count < len(tokens) else b""
    return tokens if finish == "length" else None


def _complete_at(
    text: str, tokens: list[Piece] | None, complete: Callable[[str], bool]
) -> int | None:
    """Characters of ``text`` up to the first token after which it is complete, or None; tokens that
    are not known are taken for characters."""
    ends: Iterable[int] = range(1, len(text) + 1)
    if tokens is not None:
        sizes = accumulate(len(piece) for piece, _ in tokens)
        raw = text.encode("utf-8", "surrogatepass")
        ends = (len(raw[:size].decode("utf-8", "ignore")) for size in sizes)
    return next((end for end in ends if complete(text[:end])), None)


def token_starts(response: Mapping[str, Any], text: bytes) -> dict[int, Piece]:
    """The tokens of a response that echoes ``text``, by the byte of it at which they start.

    Tokens in front of the text (the beginning-of-text token's own name) have negative places.
    Raises MalformedResponse when the tokens do not join to the text.
    """
    tokens = pieces(_choice(response))
    if tokens is None:
        raise MalformedResponse("the answer has no log-probabilities")
    at = b"".join(piece for piece, _ in tokens).find(text)
    if not 0 <= at <= sum(len(piece) for piece, _ in tokens[:2]):
        raise MalformedResponse("the server's tokens do not join to the text")
    starts: dict[int, Piece] = {}
    start = -at
    for piece, value in tokens:
        if piece:
            starts[start] = (piece, value)
        start += len(piece)
    return starts


def echoed_readout(response: Mapping[str, Any], text: bytes, positions: Sequence[int]) -> Readout:
    """Log-probabilities of the tokens of an echoed prompt.

    Args:
        text: the prompt.
        positions: as in Read, over the bytes of ``text``.

    Returns:
        At each position the log-probability of the token that starts with the next byte; empty
        where none does, or where it is unknown.

    Raises MalformedResponse.
    """
    starts = token_starts(response, text)
    rows = []
    for position in positions:
        _, value = starts.get(position + 1, (b"", None))
        rows.append(() if value is None or not math.isfinite(value) else (float(value),))
    return Readout(tuple(rows))


def echoes(drawn: Mapping[str, Any], echoed: Mapping[str, Any], prompt: str) -> bool:
    """Whether a server gives the same log-probabilities to tokens that it draws and that it reads.

    Some echo no prompt, and llama-cpp-python shifts the numbers by one token where a vocabulary has
    no beginning-of-text token: a mean over them would look like a result.

    Args:
        drawn: the response to a draw from ``prompt``.
        echoed: the response to an echo_request for ``prompt`` and that draw.
    """
    start = len(prompt.encode())
    choice = _choice(drawn)
    try:
        starts = token_starts(echoed, (prompt + choice["text"]).encode())
    except MalformedResponse:
        return False
    compared = 0
    for piece, value in pieces(choice) or ():
        read, again = starts.get(start, (b"", None))
        start += len(piece)
        if piece and read == piece and value is not None and again is not None:
            compared += 1
            if abs(value - again) > ECHO_TOLERANCE:
                return False
    return compared > 0
