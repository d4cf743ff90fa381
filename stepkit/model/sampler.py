"""A sampler: everything that decides a draw, with the identity that is stored with evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from stepkit.model.engine import Draw, Sampling
from stepkit.model.prefixes import Ids, Prefixes
from stepkit.seeds import digest, draw_seed
from stepkit.text.answer_end import AnswerEnd
from stepkit.text.protected_parts import OPENING, opens_thinking


@dataclass(frozen=True)
class ModelIdentity:
    """Which model it is.

    Attributes:
        name: for people: a file's name, or what a server calls it.
        model: a GGUF file's fingerprint; of a server, which shows no more, the name again.
        server: the kind of server, or None in process. Not which one: another machine that
            serves the same model is the same sampler.
    """

    name: str
    model: str
    server: str | None = None


class Sampler:
    """A model with a prompt layout, sampling parameters and a run seed.

    Args:
        context: tokens, with the prompt, at which a draw ends; None when a server decides it.
        alias: name of the model among several (multi_engine.py).
        refine: the format that lays out a problem with an attempt to refine, if there is one.
        rope: which of two kinds of rope factors the model has, "short" or "long"; "" without a
            choice.

    Attributes:
        decisive: all that decides a draw, by the names that users know.
        id: its hash.
        identity: an entry of ``tree.samplers``: the id and all that it is made of.
    """

    def __init__(
        self,
        prefixes: Prefixes,
        sampling: Sampling,
        *,
        model: ModelIdentity,
        context: int | None,
        seed: int,
        exact: bool = True,
        alias: str = "",
        refine: str | None = None,
        rope: str = "",
    ) -> None:
        self.prefixes = prefixes
        self.sampling = sampling
        self._alias = alias
        self._settings: dict[str, Any] = {
            "model": model,
            "context": context,
            "seed": seed,
            "exact": exact,
            "alias": alias,
            "refine": refine,
            "rope": rope,
        }
        prompter = prefixes.prompter
        self.decisive: dict[str, Any] = {
            "model": model.model,
            **({"server": model.server} if model.server else {}),
            "vocabulary": prefixes.vocabulary,
            "prompt": prompter.identity,
            "system": prompter.system,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": sampling.min_p,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop),
            "context": context,
            "seed": seed,
        }
        if sampling.repetition_penalty != 1.0:
            self.decisive["repetition_penalty"] = sampling.repetition_penalty
        if sampling.logit_bias:
            # null for minus infinity, which JSON does not have
            self.decisive["logit_bias"] = [
                [token, bias if isfinite(bias) else None] for token, bias in sampling.logit_bias
            ]
        if sampling.grammar:
            self.decisive["grammar"] = sampling.grammar
        if refine is not None:
            self.decisive["refine"] = refine
        if rope:
            self.decisive["rope"] = rope
        if not exact:
            self.decisive["layout"] = "fast"
        # a draw that stops at its answer has the seed of the one that goes on, so that it is a
        # prefix of that one
        self._stream = _hash(self.decisive)
        if sampling.stop_at_answer:
            self.decisive["stop_at_answer"] = True
        self.id = _hash(self.decisive)
        self.identity = {"id": self.id, "name": model.name, **self.decisive}

    def entry(self, record: dict[str, Any]) -> dict[str, Any]:
        """``identity``, and as ``rendered`` the text of the record's prompt where ``prompt`` is not
        that text but the hash of a chat template. Raises DataError."""
        rendered = self.prefixes.laid_out(record)
        return self.identity if rendered is None else {**self.identity, "rendered": rendered}

    def draw(
        self,
        prefix: Ids,
        purpose: str,
        number: int,
        origin: str = "",
        *,
        before: str = "",
        reach: int = 0,
    ) -> Draw:
        """The request for draw ``number`` of ``prefix``, for one of seeds.PURPOSES.

        ``origin`` distinguishes draws that refine different texts with the same prefix: a redraw
        must not be the very attempt that it is meant to replace. ``before`` is the attempt's text
        in the prefix, as its answer is read (see ``attempt_text``). For ``reach`` see Draw.
        """
        place = digest("prefix", prefix, origin) if origin else digest("prefix", prefix)
        return Draw(
            digest("draw", self.id, purpose, place, number, size=12),
            prefix,
            draw_seed(self._stream, purpose, place, number),
            self.sampling,
            complete=AnswerEnd(before) if self.sampling.stop_at_answer else None,
            model=self._alias,
            reach=reach,
        )

    def greedy(self) -> Sampler:
        """The same at temperature 0: another sampler, whose draws from a prefix are all the
        same."""
        return Sampler(self.prefixes, replace(self.sampling, temperature=0.0), **self._settings)


def attempt_text(entry: Mapping[str, Any], text: str) -> str:
    """``text`` of an attempt, after the tag by which the prompt of a sampler's ``entry`` may have
    opened the thinking."""
    prompt = entry.get("rendered") or entry.get("prompt") or ""
    return OPENING + text if opens_thinking(prompt) else text


def _hash(decisive: Mapping[str, Any]) -> str:
    return digest("sampler", [[key, value] for key, value in decisive.items()])
