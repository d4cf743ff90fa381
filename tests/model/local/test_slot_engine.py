"""The in-process engine on real llama.cpp: what a draw gets, and that nothing else decides it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import ggufs
import numpy as np
import pytest
from engines import KINDS, engine_on, finish, layout
from reference_model import forward
from work import ROOT

from stepkit.errors import DataError, FailedError, StepkitError, UsageError
from stepkit.model.engine import Draw, FinishedDraw, Read, Readout, Request, Result, Sampling
from stepkit.model.local import draws_in_flight, llama
from stepkit.model.local.context_sizes import for_drawing as choose_layout
from stepkit.model.local.llama import Model
from stepkit.model.local.token_sampling import TokenSampler, log_softmax_at, uniforms
from stepkit.runner.options import ModelOptions


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same random Llama in several quantisations."""
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


def run(
    model: Model,
    requests: Sequence[Request],
    *,
    slots: int = 16,
    context: int = 512,
    shelves: int = 4,
) -> dict[str, Result | StepkitError]:
    """All results by key, from an engine of its own."""
    engine = engine_on(model, layout(slots, context, shelves))
    results = finish(engine, requests)
    engine.close()
    return results


def drawn(model: Model, request: Draw, **more: int) -> FinishedDraw:
    result = run(model, [request], **more)[request.key]
    assert isinstance(result, FinishedDraw), result
    return result


def several_requests() -> list[Request]:
    """Draws from prefixes of awkward lengths, some of which extend others, and reads of them."""
    rng = random.Random(1)
    lengths = [1, 2, 7, 8, 9, 63, 64, 65, 130]
    prefixes = [tuple(rng.randrange(256) for _ in range(length)) for length in lengths]
    prefixes += [(*prefixes[-1], 5), prefixes[-1] + tuple(range(40)), prefixes[2] + (1, 2, 3)]
    ways = [
        Sampling(max_tokens=30),
        Sampling(max_tokens=20, top_p=0.9, repetition_penalty=1.5, stop=("e",)),
        Sampling(max_tokens=25, grammar='root ::= ("a" | "b" | "xyz")+'),
        Sampling(max_tokens=30, logit_bias=((97, 2.0), (98, -np.inf)), temperature=0.7),
    ]
    requests: list[Request] = [
        Draw(f"draw {i} {n}", prefix, 1000 * i + n, ways[n if i % 3 else 0])
        for i, prefix in enumerate(prefixes)
        for n in range(4)
    ]
    for i, prefix in enumerate(prefixes):
        if len(prefix) > 1:
            requests.append(Read(f"read {i}", prefix, (0, len(prefix) - 1), (7, 9)))
            requests.append(Read(f"likelihood {i}", prefix, tuple(range(len(prefix) - 1))))
    return requests


@pytest.mark.parametrize("kind", ["F32", "Q4_K_M", "Q6_K"])
def test_short_prefixes_do_not_lean_on_longer_ones(files: dict[str, Path], kind: str) -> None:
    """A prefix of fewer than 8 tokens came from a longer one's wide call, or not, by order.

    And where llama.cpp repacks Q4_K (no AMX), the last rows of a call went another way.
    """
    model = Model(str(files[kind]))
    rng = random.Random(3)
    long = tuple(rng.randrange(256) for _ in range(40))
    sampling = Sampling(max_tokens=12)
    requests: list[Request] = [
        Draw(f"{length} {n}", long[:length], n, sampling)
        for length in (1, 2, 3, 5, 7, 8, 9, 20, 40)
        for n in range(3)
    ]
    alone: dict[str, Result | StepkitError] = {}
    for request in requests:
        alone |= run(model, [request], slots=8)
    for seed in range(4):
        random.Random(seed).shuffle(requests)
        assert run(model, requests, slots=8 + 4 * seed) == alone
    model.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_result_does_not_depend_on_who_shares_the_batch(
    files: dict[str, Path], kind: str
) -> None:
    model = Model(str(files[kind]))
    requests = several_requests()
    together = run(model, requests, slots=16)
    shuffled = requests[:]
    random.Random(2).shuffle(shuffled)
    assert run(model, shuffled, slots=12) == together
    for request in requests[::7]:
        assert run(model, [request], slots=8)[request.key] == together[request.key]
    model.close()


def shipped(name: str) -> Path:
    return ROOT / "samples" / "models" / name


@pytest.mark.parametrize("name", ["random", "policy.gguf", "prm.gguf"])
def test_logits_are_those_of_the_models_own_tensors(files: dict[str, Path], name: str) -> None:
    path = files["F32"] if name == "random" else shipped(name)
    model = Model(str(path))
    ids = model.tokenize("Problem: Ann has 12 and 30 nuts. How many?\nSolution:\n12 + 30 = 42.\n")
    assert len(ids) > 20
    positions, candidates = (3, 9, len(ids) - 1), tuple(range(0, model.n_vocab, 7))
    readout = run(model, [Read("r", ids, positions, candidates)])["r"]
    assert isinstance(readout, Readout)
    expected = forward(path, ids)[list(positions)][:, list(candidates)]
    assert np.abs(np.array(readout.values) - expected).max() < 1e-4
    model.close()


def test_a_draw_is_the_reference_loop(model: Model) -> None:
    """Token by token by hand: full forward pass, softmax, inversion at the seed's uniforms."""
    prefix, seed = model.tokenize("abc"), 42
    sampling = Sampling(temperature=0.8, max_tokens=12)
    result = drawn(model, Draw("d", prefix, seed, sampling))
    ids, text, logprob = list(prefix), b"", 0.0
    for count in range(result.tokens):
        logits = forward(Path(model.path), ids)[-1:].astype(np.float32)
        tokens, logprobs = TokenSampler(logits.shape[1])(
            logits, uniforms([seed], [count]), sampling
        )
        token, logprob = int(tokens[0]), logprob + logprobs[0]
        ids.append(token)
        text += model.pieces[token]
    assert result.text == text.decode(errors="replace") and result.finish == "length"
    assert result.logprob == pytest.approx(logprob, abs=1e-4)


def test_draws_follow_the_models_distribution(model: Model) -> None:
    """First tokens of 4,000 draws against softmax of the forward pass, by chi-square.

    Only ASCII bytes are distinguished: another byte alone is no text, so its id is not given.
    """
    prefix = model.tokenize("abc")
    requests = [Draw(str(n), prefix, 7919 * n, Sampling(max_tokens=1)) for n in range(4000)]
    logits = forward(Path(model.path), prefix)[-1]
    weights = np.exp(logits - logits.max())
    expected = 4000 * weights / weights.sum()
    counts = np.zeros(model.n_vocab)
    for result in run(model, requests, slots=64).values():
        assert isinstance(result, FinishedDraw)
        if result.ids:
            counts[result.ids[0]] += 1
    common = (expected >= 8) & (np.arange(model.n_vocab) < 128)
    assert common.sum() > 50
    statistic = ((counts - expected)[common] ** 2 / expected[common]).sum()
    assert statistic < common.sum() + 4 * np.sqrt(2 * common.sum())


@pytest.mark.parametrize("slots", [8, 16])
def test_nested_prefixes_are_evaluated_once(model: Model, slots: int) -> None:
    """Eight draws from each of ten prefixes, each a prefix of the next, of three traces."""
    rng = random.Random(4)
    engine = engine_on(model, layout(slots, 512, shelves=4))
    head = tuple(rng.randrange(256) for _ in range(60))
    requests: list[Request] = []
    distinct = len(head)
    for trace in range(3):
        prefix = head
        for step in range(10):
            more = tuple(rng.randrange(256) for _ in range(12))
            prefix, distinct = prefix + more, distinct + len(more)
            for number in range(8):
                key = f"{trace} {step} {number}"
                requests.append(Draw(key, prefix, len(requests), Sampling(max_tokens=5)))
    finish(engine, requests)
    assert engine.counters.read_tokens == distinct
    engine.close()


def test_prefixes_come_back_from_a_shelf(model: Model) -> None:
    """What draws overwrote in the slots is still on a shelf, until others pushed it out."""
    rng = random.Random(5)
    one, *others = (tuple(rng.randrange(256) for _ in range(50)) for _ in range(6))
    engine = engine_on(model, layout(8, 512, shelves=4))
    how = Sampling(max_tokens=2)

    def cost(name: str, prefix: tuple[int, ...]) -> int:
        before = engine.counters.read_tokens
        finish(engine, [Draw(f"{name} {n}", prefix, n, how) for n in range(9)])
        return engine.counters.read_tokens - before

    assert cost("first", one) == 50
    assert [cost(f"other {n}", other) for n, other in enumerate(others[:3])] == [50, 50, 50]
    assert cost("again", one) == 0
    longer = one + others[0]
    assert cost("longer", longer) == 50
    for n, other in enumerate(others):
        cost(f"push {n}", other)
    assert cost("lost", longer) == 100
    engine.close()


def test_the_fast_layout_draws_from_the_model(model: Model) -> None:
    """Greedy draws of an exact engine and a fast one agree where logits are far apart."""
    prefixes = [model.tokenize(f"{n} apples and some more text") for n in range(12)]
    how = Sampling(temperature=0.0, max_tokens=3)
    requests = [Draw(f"{n}", prefix, n, how) for n, prefix in enumerate(prefixes)]
    fast = engine_on(model, layout(8, 512, exact=False))
    results = finish(fast, requests)
    fast.close()
    same = 0
    for request in requests:
        exact, quick = run(model, [request])[request.key], results[request.key]
        assert isinstance(exact, FinishedDraw) and isinstance(quick, FinishedDraw)
        same += exact.text == quick.text
        assert quick.logprob == pytest.approx(exact.logprob, abs=0.05)
    assert same >= 11


def test_the_fast_layout_goes_on_from_its_own_draws(model: Model) -> None:
    prefix = tuple(model.tokenize("a prompt that is long enough to be worth keeping, and longer"))
    how = Sampling(max_tokens=40, logit_bias=tuple((t, -np.inf) for t in range(128, 264)))
    for exact, least, most in ((True, 40, 48), (False, 0, 2)):
        engine = engine_on(model, layout(8, 512, exact=exact))
        first = finish(engine, [Draw("one", prefix, 1, how)])["one"]
        assert isinstance(first, FinishedDraw) and first.ids and len(first.ids) == 40
        before = engine.counters.read_tokens
        finish(engine, [Draw("two", prefix + first.ids, 2, how)])
        assert least <= engine.counters.read_tokens - before <= most
        engine.close()


def test_a_grammar_is_followed_and_the_distribution_kept(model: Model) -> None:
    """First tokens under a grammar are the model's own, restricted and normalised."""
    prefix = model.tokenize("abc")
    grammar = 'root ::= [a-h] [0-9]+ "."'
    first, whole = (Sampling(max_tokens=most, grammar=grammar) for most in (1, 12))
    requests = [Draw(f"first {n}", prefix, 7919 * n, first) for n in range(2000)]
    requests += [Draw(f"whole {n}", prefix, 7919 * n, whole) for n in range(200)]
    logits = forward(Path(model.path), prefix)[-1]
    counts = dict.fromkeys("abcdefgh", 0)
    for key, result in run(model, requests, slots=64).items():
        assert isinstance(result, FinishedDraw)
        if key.startswith("first"):
            counts[result.text] += 1
            continue
        assert re.fullmatch(r"[a-h][0-9]+\.?", result.text)
        assert result.finish == "length" or result.text.endswith(".")
    # "ab" and "abc" are tokens too, but no digit may be left out after the first letter
    weights = np.array([np.exp(logits[ord(letter)]) for letter in counts])
    expected = 2000 * weights / weights.sum()
    statistic = ((np.array(list(counts.values())) - expected) ** 2 / expected).sum()
    assert statistic < 7 + 4 * np.sqrt(14)


def test_biases_and_the_penalty_change_logits_as_written(model: Model) -> None:
    """Greedy draws against the forward pass with the formulas applied by hand."""
    prefix, bytes_of_no_text = model.tokenize("abcab"), range(128, 256)
    bans = ((101, -np.inf), (120, 3.0), *((token, -np.inf) for token in bytes_of_no_text))
    how = Sampling(temperature=0.0, max_tokens=8, logit_bias=bans, repetition_penalty=1.8)
    result = drawn(model, Draw("d", prefix, 1, how))
    ids, logprob, drawn_ids = list(prefix), 0.0, []
    for _ in range(result.tokens):
        own = forward(Path(model.path), ids)[-1]
        logits = own.copy()
        logits[101], logits[120], logits[bytes_of_no_text] = -np.inf, logits[120] + 3.0, -np.inf
        for token in set(ids):
            logits[token] = logits[token] / 1.8 if logits[token] > 0 else logits[token] * 1.8
        token = int(logits.argmax())
        logprob += own[token] - np.log(np.exp(own - own.max()).sum()) - own.max()
        ids.append(token)
        drawn_ids.append(token)
    assert result.text.encode() == model.detokenize(tuple(drawn_ids))
    assert result.logprob == pytest.approx(logprob, abs=1e-2)


def test_no_token_left_is_that_requests_error(model: Model) -> None:
    nothing = Sampling(logit_bias=tuple((token, -np.inf) for token in range(model.n_vocab)))
    digits = tuple((token, -np.inf) for token in range(48, 58))
    stuck = Sampling(grammar="root ::= [0-9]+", logit_bias=digits)
    prefix = model.tokenize("abcdefgh")
    results = run(
        model,
        [
            Draw("nothing", prefix, 1, nothing),
            Draw("stuck", prefix, 1, stuck),
            Draw("fine", prefix, 1, Sampling(max_tokens=3)),
        ],
    )
    for key in ("nothing", "stuck"):
        assert isinstance(results[key], DataError) and "no token" in str(results[key])
    assert isinstance(results["fine"], FinishedDraw)


def test_likelihood_is_the_log_softmax_of_the_forward_pass(model: Model) -> None:
    ids = model.tokenize("12 + 30 = 42. and then some more text to go on with")
    readout = run(model, [Read("r", ids, tuple(range(len(ids) - 1)))])["r"]
    assert isinstance(readout, Readout)
    logits = forward(Path(model.path), ids)[:-1]
    expected = log_softmax_at(logits, np.array(ids[1:]))
    assert [row[0] for row in readout.values] == pytest.approx(expected.tolist(), abs=1e-4)


def text_of_draw(model: Model, seed: int = 3) -> str:
    return drawn(model, Draw("d", model.tokenize("ab"), seed, Sampling(max_tokens=40))).text


def test_a_stop_string_may_span_tokens_and_is_left_out(model: Model) -> None:
    whole = text_of_draw(model)
    pairs = (match.start() for match in re.finditer(r"(?=[ -~]{2})", whole))
    at = next(n for n in pairs if n > 4 and whole.find(whole[n : n + 2]) == n)
    sampling = Sampling(max_tokens=40, stop=("never!", whole[at : at + 2]))
    result = drawn(model, Draw("d", model.tokenize("ab"), 3, sampling))
    assert (result.text, result.finish) == (whole[:at], "stop")


def test_a_draw_that_hits_the_limit_says_length(model: Model) -> None:
    result = drawn(model, Draw("d", model.tokenize("ab"), 3, Sampling(max_tokens=5)))
    assert (result.finish, result.tokens) == ("length", 5)


def test_the_context_limits_a_draw_too(model: Model) -> None:
    prefix = tuple(range(250))
    result = drawn(model, Draw("d", prefix, 3, Sampling(max_tokens=500)), context=256)
    assert result.finish in ("length", "stop") and result.tokens <= 6


def test_a_prefix_longer_than_the_context_is_that_requests_error(model: Model) -> None:
    long, short = Draw("long", (1,) * 300, 1, Sampling()), Draw("short", (1,), 1, Sampling())
    results = run(model, [long, short], context=256)
    assert isinstance(results["long"], DataError) and "--context" in str(results["long"])
    assert isinstance(results["short"], FinishedDraw)


def test_ids_detokenise_to_the_text(model: Model) -> None:
    for seed in range(20):
        result = drawn(model, Draw("d", model.tokenize("ab"), seed, Sampling(max_tokens=9)))
        if result.ids is not None:
            assert model.detokenize(result.ids) == result.text.encode()


def test_a_limit_inside_a_character_leaves_the_character_out(model: Model) -> None:
    pieces = ["né".encode(), "€".encode()[:-1]]
    result = draws_in_flight.finished_draw("length", b"".join(pieces), (0, 1), [-1, -2], pieces)
    assert (result.text, result.ids) == ("né", None)


def test_a_stop_string_at_a_token_boundary_leaves_the_ids() -> None:
    pieces = [b"ab", b"c", b"\n\n"]
    ids, logprobs = (0, 1, 2), [-1.0, -2.0, -4.0]
    at_boundary = draws_in_flight.finished_draw("stop", b"abc", ids, logprobs, pieces)
    inside = draws_in_flight.finished_draw("stop", b"a", ids, logprobs, pieces)
    assert at_boundary == FinishedDraw("abc", "stop", 2, (0, 1), -3.0, (-1.0, -2.0))
    assert inside == FinishedDraw("a", "stop", 1, None, -1.0, (-1.0,))


def test_tokens_that_merge_are_cut_exactly(model: Model) -> None:
    assert model.tokenize("a") + model.tokenize("bc") != model.tokenize("abc")
    for text in ("", "abc", "a.\nb", " t", "né€🙂", "<|end|>", "\x00\n\n"):
        ids = model.tokenize_exact(text)
        assert ids is not None and model.detokenize(ids) == text.encode()
    assert ggufs.END not in model.tokenize("<|end|>")


def test_a_file_that_is_no_gguf_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(b"version https://git-lfs.example/spec/v1\n")
    with pytest.raises(UsageError, match=r"not a GGUF file.*Git LFS pointer"):
        Model(str(path))
    with pytest.raises(UsageError, match="no such file"):
        Model(str(tmp_path / "missing.gguf"))


def test_a_truncated_gguf_gives_llama_cpps_reason(tmp_path: Path, files: dict[str, Path]) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(files["F32"].read_bytes()[:300_000])
    with pytest.raises(FailedError, match=r"half.gguf: llama.cpp cannot load it: .+"):
        Model(str(path))


@pytest.mark.parametrize("context", [1 << 20, 1 << 24])
def test_no_memory_names_the_options(model: Model, context: int) -> None:
    # 256 sequences of a million tokens at 1 KiB a token are 256 GiB; of 16 million, past 32 bits
    with pytest.raises(FailedError, match=r"lower --slots 250.*--context"):
        run(model, [Draw("d", (1, 2), 1, Sampling())], slots=250, context=context)


@pytest.mark.parametrize("slots", [1, 7, 256])
def test_slots_outside_the_bounds_are_refused(model: Model, slots: int) -> None:
    with pytest.raises(UsageError, match="--slots"):
        choose_layout(model, ModelOptions(None, slots=slots), 10)


def test_nan_is_that_requests_error(tmp_path: Path) -> None:
    path = ggufs.write_llama(tmp_path / "nan.gguf", scale=float("nan"))
    model = Model(str(path))
    results = run(
        model, [Draw("d", (1, 2), 1, Sampling()), Read("r", tuple(range(12)), (3,), (1, 2))]
    )
    assert all(isinstance(result, DataError) for result in results.values()), results
    model.close()


def test_equal_contents_have_equal_fingerprints(tmp_path: Path, files: dict[str, Path]) -> None:
    twin = tmp_path / "twin.gguf"
    data = files["F32"].read_bytes()
    twin.write_bytes(data)
    assert llama.fingerprint(str(twin)) == llama.fingerprint(str(files["F32"]))
    twin.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert llama.fingerprint(str(twin)) != llama.fingerprint(str(files["F32"]))
