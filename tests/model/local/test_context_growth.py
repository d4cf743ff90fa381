"""Contexts of any size, one after the other: results are the same, nothing waits for ever."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import ggufs
import pytest
from engines import finish, fixed_plan, layout
from hypothesis import given, settings
from hypothesis import strategies as st
from work import ROOT

from stepkit.errors import FailedError, StepkitError
from stepkit.model.engine import Branch, Draw, Read, Request, Result, Sampling
from stepkit.model.local import context_opener
from stepkit.model.local.context_opener import ContextOpener
from stepkit.model.local.context_sizes import ContextPlan, for_drawing, for_reading
from stepkit.model.local.cpu_lock import NoCpuLock
from stepkit.model.local.llama import Model
from stepkit.model.local.read_engine import ReadEngine
from stepkit.model.local.slot_engine import SlotEngine
from stepkit.runner.options import ModelOptions

PLENTY = 1 << 34
Results = dict[str, Result | StepkitError]


@lru_cache(maxsize=1)
def policy() -> Model:
    return Model(str(ROOT / "samples" / "models" / "policy.gguf"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """A model with a long context in half precision, where a sum in another order shows."""
    folder = tmp_path_factory.mktemp("ggufs")
    whole = ggufs.write_llama(folder / "f32.gguf", width=256, hidden=512, context=4096)
    model = Model(str(ggufs.quantized(whole, folder / "q4.gguf", "Q4_K_M")))
    yield model
    model.close()


def text(length: int, seed: int = 0) -> tuple[int, ...]:
    rng = random.Random(f"{length} {seed}")
    return tuple(rng.randrange(33, 90) for _ in range(length))


def draw(length: int, tokens: int, number: int = 0, reach: int = 0) -> Draw:
    key = f"{length} {tokens} {number}"
    return Draw(key, text(length), 7 * length + number, Sampling(max_tokens=tokens), reach=reach)


def drawing(
    model: Model, *, free: int = PLENTY, notes: list[str] | None = None, **options: int
) -> SlotEngine:
    """An engine that chooses its sizes in ``free`` bytes."""
    plan = for_drawing(model, ModelOptions(None, threads=1, **options), 0)  # type: ignore[arg-type]
    opener = ContextOpener(
        model, plan, (notes if notes is not None else []).append, free=lambda: free
    )
    return SlotEngine(opener, NoCpuLock())


def fixed(model: Model, slots: int, context: int, shelves: int, limit: int) -> SlotEngine:
    """An engine in one context of given sizes."""
    plan = replace(fixed_plan(layout(slots, context, shelves)), limit=limit)
    return SlotEngine(ContextOpener(model, plan), NoCpuLock())


def results(engine: SlotEngine | ReadEngine, requests: Sequence[Request]) -> Results:
    done = finish(engine, requests)
    engine.close()
    return done


def samples() -> list[Request]:
    requests: list[Request] = [
        draw(length, tokens, number)
        for length, tokens in ((1, 20), (9, 40), (64, 12), (130, 30))
        for number in range(3)
    ]
    return [*requests, Read("read", text(130), (3, 70, 129), (40, 50))]


@given(
    slots=st.sampled_from([8, 12, 16, 24]),
    units=st.integers(1, 6),
    shelves=st.integers(1, 9),
)
@settings(max_examples=8)
def test_draws_are_the_same_in_a_context_of_any_size(slots: int, units: int, shelves: int) -> None:
    """On the shipped policy; the limit alone ends a draw."""
    engine = fixed(policy(), slots, 256 * units, shelves, limit=512)
    assert results(engine, samples()) == sample_results()


@lru_cache(maxsize=1)
def sample_results() -> Results:
    done = results(fixed(policy(), 8, 512, 4, limit=512), samples())
    assert len(done) == 13 and not any(isinstance(one, StepkitError) for one in done.values())
    return done


def test_draws_are_the_same_before_and_after_another_context_opens(wide: Model) -> None:
    """Short draws, then a long one in the middle of a run, then the short ones once more."""
    notes: list[str] = []
    short: list[Request] = [draw(length, 20, n) for length in (5, 60, 100) for n in range(3)]
    long: list[Request] = [draw(700, 12, 0), Read("r", text(900), (5, 600, 898), (1, 2))]
    engine = drawing(wide, notes=notes)
    before = finish(engine, short)
    grown = finish(engine, long)
    after = finish(engine, short)
    engine.close()
    assert [note.split(":")[1].split(",")[0] for note in notes] == [
        " 12 slots and 6 shelves of 256 tokens",
        " 8 slots and 4 shelves of 1024 tokens",
    ]
    assert before == after
    assert grown == results(fixed(wide, 16, 2048, 2, limit=4096), long)
    assert before == results(fixed(wide, 16, 2048, 2, limit=4096), short)


def test_a_longer_request_waits_for_the_draws_in_flight_and_no_longer(wide: Model) -> None:
    """Requests that fit go on arriving: they cannot keep the long one out, and no draw in flight
    is evaluated again."""
    engine = drawing(wide)
    engine.submit(draw(50, 100))
    for _ in range(10):
        engine.step()
    engine.submit(draw(600, 4))
    order: list[str] = []
    for number in range(1, 200):
        if number < 150:
            engine.submit(draw(40, 10, number))
        order += [done.request.key for done in engine.step()]
    assert order.index("50 100 0") < order.index("600 4 0") < order.index("40 10 1")
    while engine.pending:
        order += [done.request.key for done in engine.step()]
    assert len(order) == 151
    # each prefix once, but for the one that was drawn from after the context was replaced
    assert engine.counters.read_tokens == 50 + 600 + 40
    engine.close()


def test_growing_prompts_open_few_contexts(wide: Model) -> None:
    notes: list[str] = []
    engine = drawing(wide, notes=notes)
    for length in range(100, 3500, 170):
        finish(engine, [draw(length, 4)])
    engine.close()
    assert 4 <= len(notes) <= 8, notes


def test_more_draws_open_more_slots(wide: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_opener, "PATIENCE", 0.0)
    notes: list[str] = []
    engine = drawing(wide, notes=notes)
    few: list[Request] = [draw(20, 5, n) for n in range(2)]
    many: list[Request] = [draw(20, 5, n) for n in range(2, 60)]
    finish(engine, few)
    done = finish(engine, many)
    engine.close()
    assert [note.split()[1] for note in notes] == ["8", "32"]
    assert done == results(fixed(wide, 8, 256, 1, limit=4096), many)


def test_a_search_is_given_the_length_that_it_may_reach(wide: Model) -> None:
    notes: list[str] = []
    engine = drawing(wide, notes=notes)
    finish(engine, [draw(20, 100, reach=500)])
    finish(engine, [draw(500, 100)])
    engine.close()
    assert len(notes) == 1 and "of 768 tokens" in notes[0]


def test_the_chosen_size_never_ends_or_refuses_a_request(wide: Model) -> None:
    """At 4,096 tokens, what the model was trained for, and not before."""
    engine = drawing(wide)
    end = tuple((token, float("-inf")) for token in wide.ends_generation())
    how = Sampling(max_tokens=9999, logit_bias=end)
    done = finish(engine, [Draw("near", text(4080), 1, how), Draw("over", text(4096), 1, how)])
    engine.close()
    assert done["near"].tokens == 16  # type: ignore[union-attr]
    assert "4096 tokens, but at most 4096 are taken" in str(done["over"])


def test_a_request_that_cannot_fit_is_one_line_that_names_the_options(wide: Model) -> None:
    needed = 9 * 4096 * wide.cache_bytes_per_token
    engine = drawing(wide, free=needed)
    engine.submit(draw(3000, 2000))
    with pytest.raises(FailedError) as failed:
        while engine.pending:
            engine.step()
    engine.close()
    assert str(failed.value) == (
        "no memory for 8 slots and 1 shelves of 4096 tokens: "
        f"{needed / (1 << 30):.1f} GiB of key-value cache, and {needed / (1 << 30):.1f} GiB are "
        "free; lower --max-tokens, or leave longer requests out with --context"
    )
    engine = drawing(wide, free=needed, slots=100)
    engine.submit(draw(3000, 2000))
    with pytest.raises(FailedError, match="; lower --slots 100, or lower --max-tokens, or"):
        while engine.pending:
            engine.step()
    engine.close()


def test_less_memory_gives_the_same_draws(wide: Model) -> None:
    requests: list[Request] = [draw(40, 30, n) for n in range(40)]
    one = 256 * wide.cache_bytes_per_token
    little: list[str] = []
    scarce = drawing(wide, free=context_opener.BUFFERS + wide.mapped_bytes + 20 * one, notes=little)
    assert results(scarce, requests) == results(drawing(wide), requests)
    assert "8 slots and 2 shelves" in little[0]


# -- where nothing is drawn ----------------------------------------------------------------------


def test_a_longer_trace_opens_another_context(wide: Model) -> None:
    notes: list[str] = []
    branch = Branch(300, text(20), (4, 19))
    reads = [
        Read("short", text(90), (5, 80), (1, 2)),
        Read("long", text(300), (5, 200), (1, 2), branches=(branch,)),
        Read("again", text(90), (5, 80), (1, 2)),
    ]
    plan = for_reading(wide, ModelOptions(None, threads=1))
    engine = ReadEngine(ContextOpener(wide, plan, notes.append, lambda: PLENTY), NoCpuLock())
    found: Results = {}
    for read in reads:
        found |= finish(engine, [read])
    engine.close()
    assert ["256 tokens" in notes[0], "512 tokens" in notes[1], len(notes)] == [True, True, 2]
    assert found["short"].values == found["again"].values  # type: ignore[union-attr]
    whole: ContextPlan = replace(plan, least=4096)
    for read in reads:
        alone = ReadEngine(ContextOpener(wide, whole, free=lambda: PLENTY), NoCpuLock())
        assert results(alone, [read])[read.key] == found[read.key]


# -- other rope factors in longer contexts -------------------------------------------------------


def test_a_model_with_two_kinds_of_rope_factors_keeps_one(tmp_path: Path) -> None:
    """LongRoPE: by the length of the context a draw would be another one."""
    model = Model(str(ggufs.write_llama(tmp_path / "m.gguf", context=4096, long_rope=512)))
    assert model.short_rope_context == 512
    short: list[Request] = [draw(20, 30, n) for n in range(3)]
    longer: list[Request] = [draw(700, 5)]
    by_default = drawing(model)
    first = finish(by_default, short)
    assert "512" in str(finish(by_default, longer)["700 5 0"])
    by_default.close()
    long = drawing(model, context=4096)
    second = finish(long, short)
    finish(long, longer)
    assert finish(long, short) == second
    long.close()
    assert first != second
    assert first == results(fixed(model, 8, 512, 2, limit=512), short)
    assert second == results(fixed(model, 8, 4096, 2, limit=4096), short)
    model.close()
