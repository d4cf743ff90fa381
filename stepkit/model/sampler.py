"""A sampler: everything that decides a draw, with the identity that evidence carries."""

from __future__ import annotations

from math import isfinite
from typing import Any

from stepkit.model.engine import Draw, Sampling
from stepkit.model.llama import model_name
from stepkit.model.prefixes import Ids, Prefixes
from stepkit.seeds import digest, draw_seed


class Sampler:
    """A model with a prompt layout, sampling parameters and a run seed.

    Attributes:
        decisive: all that decides a draw, by the names that users know.
        id: hash of it.
        identity: what ``tree.samplers`` holds: the id and all that it was made of.
    """

    def __init__(
        self,
        prefixes: Prefixes,
        sampling: Sampling,
        *,
        context: int,
        seed: int,
        exact: bool = True,
    ) -> None:
        self.prefixes = prefixes
        self.sampling = sampling
        model, prompter = prefixes.model, prefixes.prompter
        self.decisive: dict[str, Any] = {
            "model": model.fingerprint,
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
            # null for minus infinity, which JSON cannot say
            self.decisive["logit_bias"] = [
                [token, bias if isfinite(bias) else None] for token, bias in sampling.logit_bias
            ]
        if sampling.grammar:
            self.decisive["grammar"] = sampling.grammar
        if not exact:
            self.decisive["layout"] = "fast"
        self.id = digest("sampler", [[key, value] for key, value in self.decisive.items()])
        self.identity = {"id": self.id, "name": model_name(model.path), **self.decisive}

    def draw(self, prefix: Ids, purpose: str, number: int, origin: str = "") -> Draw:
        """The request for draw ``number`` of ``prefix``, for one of seeds.PURPOSES.

        ``origin`` tells draws apart that refine different texts with the same beginning: a redraw
        must not be the very attempt that it is meant to replace.
        """
        place = digest("prefix", prefix, origin) if origin else digest("prefix", prefix)
        return Draw(
            digest("draw", self.id, purpose, place, number, size=12),
            prefix,
            draw_seed(self.id, purpose, place, number),
            self.sampling,
        )
