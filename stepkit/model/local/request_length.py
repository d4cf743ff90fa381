"""How long a request's sequence gets, and why one is refused."""

from __future__ import annotations

from stepkit.errors import DataError, StepkitError
from stepkit.model.engine import Read, Request


def tokens_of(request: Request, limit: int) -> int:
    """The tokens of cache that a request takes, with all that it may draw."""
    if isinstance(request, Read):
        return _longest_text(request)
    return min(limit, len(request.prefix) + request.sampling.max_tokens)


def expected_tokens(request: Request, limit: int) -> int:
    """The same of the longest request that is likely to follow this one (Draw.reach)."""
    if isinstance(request, Read):
        return _longest_text(request)
    longest = max(len(request.prefix), request.reach)
    return min(limit, longest + request.sampling.max_tokens)


def refusal(request: Request, limit: int) -> StepkitError | None:
    """Why a request cannot be answered within ``limit`` tokens, or None."""
    longest, room = (
        (_longest_text(request), limit)
        if isinstance(request, Read)
        else (len(request.prefix), limit - 1)
    )
    if not longest:
        return DataError("nothing to start from: the prompt has no tokens")
    if longest > room:
        return DataError(
            f"{longest} tokens, but at most {limit} are taken; --context sets how many, by default "
            "what the model was trained for"
        )
    return None


def _longest_text(request: Read) -> int:
    ends = [branch.start + len(branch.ids) for branch in request.branches]
    return max([len(request.ids), *ends])
