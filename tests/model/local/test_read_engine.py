"""The ways to read a model: each equal to a NumPy forward pass, to a pass per prefix, and to
itself whatever was read before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ggufs
import numpy as np
import pytest
from engines import KINDS, engine_on, finish, layout
from reference_model import forward, hidden_states, tensors_of

from stepkit.core.jit import jit
from stepkit.errors import DataError
from stepkit.model.backend import open_engine
from stepkit.model.engine import TOP, Branch, DistributionSummary, Read, Readout
from stepkit.model.local.context_opener import ContextOpener
from stepkit.model.local.context_sizes import Demand, for_reading
from stepkit.model.local.cpu_lock import NoCpuLock
from stepkit.model.local.llama import Model
from stepkit.model.local.read_engine import ReadEngine
from stepkit.runner.options import ModelOptions

CONTEXT = 512


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("ggufs")
    base = ggufs.write_llama(folder / "f32.gguf", width=256, hidden=512, context=1024, layers=2)
    made = {"F32": base}
    for kind in KINDS[1:]:
        made[kind] = ggufs.quantized(base, folder / f"{kind}.gguf", kind)
    return made


@pytest.fixture(scope="module")
def model(files: dict[str, Path]) -> Iterator[Model]:
    loaded = Model(str(files["F32"]))
    yield loaded
    loaded.close()


def options(**more: Any) -> ModelOptions:
    return ModelOptions(None, threads=1, **{"context": CONTEXT, **more})


def reader(model: Model, **more: int) -> ReadEngine:
    return ReadEngine(ContextOpener(model, for_reading(model, options(**more))), NoCpuLock())


def read(model: Model, *requests: Read, **more: int) -> list[np.ndarray]:
    """What is read, [positions, numbers] each, by one engine of its own."""
    engine = reader(model, **more)
    found = finish(engine, requests)
    engine.close()
    return [rows(found[request.key]) for request in requests]


def rows(result: object) -> np.ndarray:
    assert isinstance(result, Readout), result
    return np.array(result.values)


def some_ids(count: int, seed: int = 1) -> tuple[int, ...]:
    chance = random.Random(seed)
    return tuple(chance.randrange(256) for _ in range(count))


class Identity:
    """A head that gives the hidden state itself."""

    outputs = 256

    def __call__(self, states: np.ndarray) -> np.ndarray:
        return states


identity = Identity()


# -- each reading is what the model's tensors say ------------------------------------------------


def test_hidden_states_are_those_of_the_models_own_tensors(model: Model) -> None:
    ids, positions = some_ids(90), (0, 7, 40, 89)
    (found,) = read(model, Read("r", ids, positions, head=identity))
    expected = hidden_states(Path(model.path), ids)[list(positions)]
    assert found.shape == (4, model.width)
    assert np.abs(found - expected).max() < 1e-4


def test_candidates_are_those_of_the_models_own_tensors(model: Model) -> None:
    ids, positions, candidates = some_ids(90), (0, 7, 40, 89), (3, 259)
    (found,) = read(model, Read("r", ids, positions, candidates))
    expected = forward(Path(model.path), ids)[list(positions)][:, list(candidates)]
    assert np.abs(found - expected).max() < 1e-4


def test_states_times_the_output_matrix_are_the_logits(model: Model) -> None:
    """Two ways through llama.cpp: states caught in the graph, and its own logits."""
    ids, positions = some_ids(300), tuple(range(0, 300, 11))
    states, logits = read(
        model,
        Read("s", ids, positions, head=identity),
        Read("l", ids, positions, tuple(range(model.n_vocab))),
    )
    output = tensors_of(Path(model.path))["output.weight"]
    assert np.abs(states @ output.T - logits).max() < 1e-4


@pytest.mark.parametrize("engine", ["reads", "draws"])
def test_a_summary_is_computed_from_the_whole_distribution(model: Model, engine: str) -> None:
    ids = some_ids(80)
    request = Read("r", ids, tuple(range(79)), summary=True)
    if engine == "reads":
        (found,) = read(model, request)
    else:
        drawing = engine_on(model, layout(8, CONTEXT))
        found = rows(finish(drawing, [request])["r"])
        drawing.close()
    logits = forward(Path(model.path), ids)[:-1]
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    size = model.n_vocab
    expected = DistributionSummary(
        logs[np.arange(79), ids[1:]],
        -(np.exp(logs) * logs).sum(1),
        (np.log(1 / size) - logs).mean(1),
        -np.sort(-logs, axis=1)[:, :TOP].mean(1),
    )
    assert np.abs(found - np.stack(expected, 1)).max() < 1e-4


def test_compiled_summaries_have_the_same_bits() -> None:
    from stepkit.model.local import kernels
    from stepkit.model.local import readout as reading
    from stepkit.model.local.token_sampling import summed, weigh

    chance = np.random.default_rng(1)
    logits = chance.normal(0, 5, (5, 1000)).astype(np.float32)
    logits[1, 7] = -200.0  # no weight is left
    highest = logits.max(axis=1)
    weights = np.empty((5, 1024), np.float32)
    weigh(logits, highest, 1.0, weights)
    sums = [np.empty((5, 4, 2)) for _ in range(2)]
    lanes = np.empty((2, kernels.LANES))
    reading._moments_with_numpy(logits, highest, weights, lanes, sums[0])
    compiled = jit(kernels.moments, None, 1)
    compiled(1, logits, highest, weights, lanes, sums[1])
    assert sums[0].tobytes() == sums[1].tobytes()
    assert np.isfinite(summed(weights)[1]).all()


# -- branches ------------------------------------------------------------------------------------


def branches(ids: tuple[int, ...], lengths: Sequence[int]) -> tuple[Branch, ...]:
    """One after every so many tokens, of these lengths in turn, some read twice."""
    starts = range(9, len(ids) + 1, 23)
    found = []
    for number, start in enumerate(starts):
        suffix = some_ids(lengths[number % len(lengths)], seed=100 + number)
        found.append(Branch(start, suffix, (0, len(suffix) - 1) if len(suffix) > 9 else ()))
    return tuple(found)


def per_prefix(request: Read) -> list[Read]:
    """The same, one pass for each prefix."""
    return [
        Read(
            f"{request.key} {number}",
            request.ids[: branch.start] + branch.ids,
            tuple(branch.start + position for position in branch.read_at),
            request.candidates,
            head=request.head,
        )
        for number, branch in enumerate(request.branches)
    ]


@pytest.mark.parametrize("lengths", [[1], [10], [3, 17, 1, 40]], ids=["end", "choice", "mixed"])
@pytest.mark.parametrize("kind", KINDS)
def test_branches_are_a_pass_per_prefix(
    files: dict[str, Path], kind: str, lengths: list[int]
) -> None:
    model = Model(str(files[kind]))
    ids = some_ids(300)
    for request in (
        Read("c", ids, (5, 50, 299), (7, 9, 11), branches=branches(ids, lengths)),
        Read("h", ids, (), head=identity, branches=branches(ids, lengths)),
    ):
        (together,) = read(model, request)
        apart = [read(model, one)[0] for one in per_prefix(request)]
        trunk = [read(model, Read("t", ids, request.positions, request.candidates))[0]]
        expected = np.concatenate([*(trunk if request.positions else []), *apart])
        assert together.tolist() == expected.tolist()
    model.close()


def test_the_fast_layout_reads_branches_beside_each_other(model: Model) -> None:
    ids = some_ids(300)
    request = Read("r", ids, (5,), (7, 9, 11), branches=branches(ids, [1, 10, 7]))
    engine = reader(model, fast=True)
    found = rows(finish(engine, [request])["r"])
    assert engine.counters.decodes == 2
    engine.close()
    (exact,) = read(model, request)
    assert np.abs(found - exact).max() < 1e-4


def test_branches_cost_their_own_length(model: Model) -> None:
    ids = some_ids(300)
    request = Read("r", ids, (), (1, 2), branches=branches(ids, [6]))
    engine = reader(model)
    finish(engine, [request])
    own = sum(len(branch.ids) for branch in request.branches)
    assert engine.counters.read_tokens == request.branches[-1].start + own
    assert engine.counters.decodes == 1 + len(request.branches)
    engine.close()


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("more", [{"slots": 2}, {"batch": 64}, {"context": 256}, {}])
def test_branches_beyond_the_room_are_read_in_turn(
    model: Model, more: dict[str, int], fast: bool
) -> None:
    """Few sequences, few rows, or a trunk that leaves the branches no cells: equal numbers."""
    ids = some_ids(250)
    chance = random.Random(4)
    cut = [Branch(chance.randrange(1, 190), some_ids(50, seed)) for seed in range(9)]
    cut += [Branch(3, some_ids(200, 7), (0, 100, 199)), Branch(250, (5,))]
    request = Read("r", ids, (17,), (1, 2, 3), branches=tuple(cut))
    (found,) = read(model, request, fast=fast, **more)
    apart = [read(model, one)[0] for one in per_prefix(request)]
    trunk = read(model, Read("t", ids, (17,), (1, 2, 3)))
    assert np.abs(found - np.concatenate([*trunk, *apart])).max() < 1e-4


def test_an_engine_that_draws_reads_branches_and_states_too(model: Model) -> None:
    ids = some_ids(120)
    requests = [
        Read("b", ids, (4,), (1, 2), branches=branches(ids, [5])),
        Read("h", ids, (4, 100), head=identity),
    ]
    engine = engine_on(model, layout(8, CONTEXT))
    found = finish(engine, requests)
    assert engine.counters.read_tokens > 0
    engine.close()
    for request, expected in zip(requests, read(model, *requests), strict=True):
        assert rows(found[request.key]).tolist() == expected.tolist()


def test_a_branch_longer_than_the_context_is_that_requests_error(model: Model) -> None:
    ids = some_ids(200)
    engine = reader(model)
    long = Read("long", ids, (), (1,), branches=(Branch(100, some_ids(CONTEXT - 99)),))
    found = finish(engine, [long, Read("fits", ids, (5,), (1,))])
    engine.close()
    assert isinstance(found["long"], DataError) and "--context" in str(found["long"])
    assert isinstance(found["fits"], Readout)


# -- nothing depends on what was read before -----------------------------------------------------


def mixed_requests() -> list[Read]:
    """Traces with common beginnings of awkward lengths, read in every way."""
    base = some_ids(400)
    requests: list[Read] = []
    for number, length in enumerate([1, 2, 7, 8, 9, 63, 64, 65, 130, 131, 300, 400]):
        ids = base[:length] + some_ids(number * 5 % 40, seed=number)
        last = len(ids) - 1
        requests.append(Read(f"c{number}", ids, (last // 2, last) if last else (0,), (7, 9)))
        requests.append(Read(f"h{number}", ids, (last,), head=identity))
        if last:
            requests.append(Read(f"s{number}", ids, tuple(range(last)), summary=True))
            requests.append(Read(f"p{number}", ids, tuple(range(last))))
        ends = (Branch(1 + last // 2, (4,)), Branch(len(ids), some_ids(9), (2, 8)))
        requests.append(Read(f"b{number}", ids, (), (1, 2), branches=ends))
    return requests


@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_does_not_depend_on_what_was_read_before(
    files: dict[str, Path], kind: str
) -> None:
    model = Model(str(files[kind]))
    requests = mixed_requests()
    alone = [read(model, request)[0].tolist() for request in requests]
    for seed in range(3):
        order = list(range(len(requests)))
        random.Random(seed).shuffle(order)
        found = read(model, *(requests[n] for n in order))
        assert [array.tolist() for array in found] == [alone[n] for n in order]
    model.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_of_a_long_call_are_never_narrow(files: dict[str, Path], kind: str) -> None:
    """A text a little longer than what is evaluated together left some rows alone."""
    model = Model(str(files[kind]))
    ids = some_ids(1000)
    for length in (257, 263, 264, 513, 519, 900):
        wanted = (1, 255, length - 1)
        request = Read("r", ids[:length], wanted, (1, 2, 3))
        (alone,) = read(model, request, context=1024)
        whole = read(model, Read("w", ids, (*wanted, 999), (1, 2, 3)), context=1024)
        assert alone.tolist() == whole[0][:3].tolist()
    model.close()


@pytest.mark.parametrize("kind", KINDS)
def test_engines_that_draw_and_that_read_agree_bit_for_bit(
    files: dict[str, Path], kind: str
) -> None:
    model = Model(str(files[kind]))
    requests = mixed_requests()
    engine = engine_on(model, layout(8, CONTEXT))
    drawing = finish(engine, requests)
    engine.close()
    for request, array in zip(requests, read(model, *requests), strict=True):
        assert rows(drawing[request.key]).tolist() == array.tolist(), request.key
    model.close()


def test_common_beginnings_are_evaluated_once_in_any_order(model: Model) -> None:
    """Two problems' candidates, interleaved: each prompt once, in the order that shares most."""
    prompts = [some_ids(100, 1), some_ids(100, 2)]
    requests = [
        Read(f"{n}", prompts[n % 2] + some_ids(40, 10 + n), (139,), (1, 2)) for n in range(8)
    ]
    engine = reader(model)
    finish(engine, requests)
    assert engine.counters.read_tokens == 2 * 100 + 8 * 40
    assert engine.counters.decodes == 8
    engine.close()


def test_where_nothing_is_drawn_one_cache_holds_one_trace(model: Model) -> None:
    plan = for_reading(model, options())
    assert plan.sizes(Demand(CONTEXT), CONTEXT).cells == CONTEXT
    engine = open_engine(model, plan)
    assert isinstance(engine, ReadEngine)
    engine.close()
