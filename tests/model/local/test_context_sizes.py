"""The layout is chosen from model, memory and options, and from nothing else."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from stepkit.errors import FailedError, UsageError
from stepkit.model.local import context_sizes
from stepkit.model.local.context_sizes import ContextSizes, check_room, for_drawing
from stepkit.runner.options import ModelOptions

GIB = 1 << 30


@dataclass
class Facts:
    trained_context: int = 8192
    cache_bytes_per_token: int = 12 * 1024
    on_gpu: bool = False


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_sizes, "memory_bytes", lambda: 16 * GIB)


def chosen(facts: Facts | None = None, tokens: int = 512, **options: int | bool) -> ContextSizes:
    return for_drawing(facts or Facts(), ModelOptions(None, threads=2, **options), tokens)  # type: ignore[arg-type]


def test_a_small_model_gets_all_slots_and_half_as_many_shelves() -> None:
    assert chosen() == ContextSizes(32, 16, 4096, batch=512, outputs=64, threads=2)


def test_slots_are_what_a_quarter_of_the_memory_holds() -> None:
    # 4 GiB / (128 KiB x 2048 tokens) = 16 sequences, all of them slots but for one shelf
    big = Facts(cache_bytes_per_token=128 * 1024, trained_context=2048)
    assert (chosen(big).slots, chosen(big).shelves) == (16, 1)
    huge = Facts(cache_bytes_per_token=1 << 20)
    assert (chosen(huge).slots, chosen(huge).shelves) == (8, 1)


def test_the_context_follows_the_model_and_the_draws() -> None:
    assert chosen(Facts(trained_context=1000)).context == 1024
    assert chosen(tokens=3000).context == 6000 // 256 * 256 + 256
    assert chosen(context=300).context == 512


def test_options_win() -> None:
    given = chosen(slots=100, context=256, batch=4096)
    assert (given.slots, given.context, given.batch) == (100, 256, 4096)
    assert given.outputs >= given.sequences
    assert chosen(slots=255, fast=True).sequences == 256
    assert chosen(slots=255).slots == 252, "a multiple of 4"


def test_a_batch_holds_a_token_of_every_sequence() -> None:
    for slots in (8, 100, 255):
        small = chosen(slots=slots, batch=1)
        assert small.batch >= small.outputs >= small.sequences


def test_fast_is_not_exact_and_changes_no_size() -> None:
    assert chosen(fast=True) == dataclasses.replace(chosen(), exact=False)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="--context 1"):
        chosen(context=1)
    with pytest.raises(FailedError, match=r"18\.8 GiB.*lower --slots or --context"):
        check_room(Facts(), ContextSizes(200, 200, 4096, 512, 512, 1))


def test_it_is_printed_in_words() -> None:
    assert str(chosen()) == (
        "layout: exact, slots 32, shelves 16, context 4096, batch 512, outputs 64, threads 2"
    )
