"""A profile joined to a model: traces laid out, what was read made into scores."""

from __future__ import annotations

from collections.abc import Sequence

from stepkit.errors import UsageError
from stepkit.model.profiles.profile import Profile
from stepkit.model.profiles.token_layout import LayoutVocabulary, TokenLayouter, token_id


class ProfileReader(TokenLayouter):
    """Lays traces out for a token-logit model and turns what it says into scores.

    Attributes:
        candidates: ids of the positive and the negative token.
    """

    def __init__(self, vocabulary: LayoutVocabulary, profile: Profile) -> None:
        super().__init__(vocabulary, profile)
        readout = profile.readout
        self.candidates = (
            token_id(vocabulary, readout.positive, "positive"),
            token_id(vocabulary, readout.negative, "negative"),
        )
        if self.candidates[0] == self.candidates[1]:
            raise UsageError("--positive and --negative are the same token")

    def score(self, logits: Sequence[float]) -> float:
        """The candidates' logits at one position as a score."""
        return self.profile.readout.number(logits)
