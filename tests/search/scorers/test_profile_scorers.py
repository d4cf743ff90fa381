"""step-score's routes as a whole: two models, trees, one decode a trace, and a cache of scores."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ggufs
import pytest
from checkpoints import OUTPUTS, PROFILES, WIDTH, head_tensors, write_checkpoint
from reference_model import forward
from work import Done, Workdir

from stepkit.cli.backends import scorers
from stepkit.cli.options.prm import ExtraFiles, PrmOptions
from stepkit.io.score_cache import ScoreCache
from stepkit.model.engine import Engine, Readout
from stepkit.model.local.token_sampling import log_softmax_at
from stepkit.model.recorded_engine import RecordedEngine
from stepkit.runner.options import ModelOptions
from stepkit.runner.settings import StreamOptions

STEPS = ["12 + 30 = 42.\n", "So it is", " 42.\n", "", "Answer: 42"]
TRACE: dict[str, Any] = {
    "problem": "Ann has 12 nuts and buys 30.",
    "steps": STEPS,
    "response": "".join(STEPS),
}
IMPLICIT = {
    "lead": 1,
    "kind": "implicit",
    "prompt": "{problem} ",
    "at": "last",
    "beta": 0.5,
    "of": "raw",
}
TOKENS = {
    "prompt": "{problem} ", "marker": "<|step|>", "positive": "<|good|>", "negative": "<|bad|>",
}  # fmt: skip


def score(work: Workdir, *args: str | Path, record: Any = TRACE, status: int = 0) -> Done:
    text = record if isinstance(record, str) else json.dumps(record) + "\n"
    done = work.run("step-score", "-t", "1", *args, input=text)
    assert done.status == status and "Traceback" not in done.err, done.err
    return done


def entry(done: Done, name: str = "prm") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.out)["scores"][name]
    return found


# -- two models ----------------------------------------------------------------------------------


def pair(work: Workdir, **profile: Any) -> tuple[Path, Path]:
    metadata = json.dumps({**IMPLICIT, **profile})
    trained = ggufs.write_llama(work.path / "trained.gguf", seed=1, profile=metadata)
    return trained, ggufs.write_llama(work.path / "reference.gguf", seed=2)


def log_ratios(trained: Path, reference: Path, beta: float) -> list[float]:
    """By hand: beta times the summed log-ratio up to the end of each step."""
    from stepkit.model.local.llama import Model

    model = Model(str(trained), vocabulary_only=True)
    texts = [TRACE["problem"] + " " + "".join(STEPS[:count]) for count in range(len(STEPS) + 1)]
    lengths = [len(model.tokenize(text)) for text in texts]
    ids = model.tokenize(texts[-1])
    model.close()
    sums = []
    for path in (trained, reference):
        logprobs = log_softmax_at(forward(path, ids)[:-1], ids[1:])
        # the prompt's last token counts, in the authors' code
        sums.append([float(logprobs[lengths[0] - 2 : end - 1].sum()) for end in lengths[1:]])
    return [beta * (one - other) for one, other in zip(*sums, strict=True)]


def test_an_implicit_models_numbers_are_log_ratios(work: Workdir) -> None:
    trained, reference = pair(work)
    found = entry(score(work, "--prm", trained, "--reference", reference))
    values = log_ratios(trained, reference, 0.5)
    rewards = [q - p for p, q in zip([0.0, *values], values, strict=False)]
    assert found["x"] == pytest.approx(rewards, abs=1e-4)
    assert found["total"] == pytest.approx(values[-1], abs=1e-4)
    assert found["meta"]["reference"]["name"] == "reference.gguf"
    assert len({round(x, 3) for x in found["x"]}) > 3


def test_an_implicit_models_numbers_may_be_those_of_beginnings(work: Workdir) -> None:
    trained, reference = pair(work, cumulative=True)
    found = entry(score(work, "--prm", trained, "--reference", reference))
    assert found["x"] == pytest.approx(log_ratios(trained, reference, 0.5), abs=1e-4)


def test_a_model_against_itself_says_nothing(work: Workdir) -> None:
    trained, _ = pair(work)
    found = entry(score(work, "--prm", trained, "--reference", trained))
    assert found["x"] == [0.0] * len(STEPS)


def test_an_implicit_model_needs_its_reference(work: Workdir) -> None:
    trained, _ = pair(work)
    assert "--reference" in score(work, "--prm", trained, status=2).err
    other = ggufs.write_llama(work.path / "other.gguf", vocabulary=300)
    done = score(work, "--prm", trained, "--reference", other, status=2)
    assert "vocabulary" in done.err
    plain = ggufs.write_llama(work.path / "plain.gguf", profile=json.dumps(TOKENS))
    done = score(work, "--prm", plain, "--reference", other, status=2)
    assert "--reference" in done.err
    assert "--prm" in score(work, "-m", plain, "--reference", other, status=2).err


# -- counted -------------------------------------------------------------------------------------


def answered(engine: Engine, asking: Generator[Any, Any, Any]) -> Any:
    """Run a scorer on an engine."""
    answers = None
    while True:
        try:
            asks = asking.send(answers)
        except StopIteration as end:
            return end.value
        for ask in asks:
            engine.submit(ask)
        found = {}
        while engine.pending:
            for done in engine.step():
                assert isinstance(done.result, Readout), done
                found[id(done.request)] = done.result
        answers = [found[id(ask)] for ask in asks]


def opened(work: Workdir, name: str) -> scorers.ScoringSetup:
    """A scorer of a kind, as step-score makes it."""
    profile = PROFILES.get(name, TOKENS)
    path = ggufs.write_llama(work.path / f"{name}.gguf", profile=json.dumps(profile), context=2048)
    head = None
    if name in PROFILES:
        from stepkit.model.heads.head_network import from_checkpoint
        from stepkit.model.heads.safetensors import open_checkpoint

        tensors = head_tensors(str(profile["head"]), WIDTH, OUTPUTS[name])
        file = write_checkpoint(work.path / "model.safetensors", tensors)
        head = str(work.path / f"{name}.safetensors")
        Path(head).write_bytes(from_checkpoint(open_checkpoint(str(file)), None).encode())
    options = ModelOptions(str(path), threads=1)
    return scorers.verifier(
        options, PrmOptions(extra=ExtraFiles(head)), StreamOptions("test", quiet=True)
    )


LONG = [f"Step {n}: {n} + {n} = {n + n}, as one can see by adding.\n" for n in range(20)]


@pytest.mark.parametrize("name", ["tokens", "mlp", "linear"])
def test_a_trace_is_one_decode(work: Workdir, name: str) -> None:
    scoring = opened(work, name)
    engine = scoring.open()
    scored = answered(engine, scoring.scorer.score(TRACE, LONG))
    assert len(scored.x) == 20 and engine.counters.decodes == 1
    # a candidate of the same problem: one more, of what is its own
    read = engine.counters.read_tokens
    answered(engine, scoring.scorer.score(TRACE, LONG[:3] + LONG[5:9]))
    assert engine.counters.decodes == 2
    assert engine.counters.read_tokens < 1.6 * read
    engine.close()


def test_a_value_model_evaluates_the_trace_once(work: Workdir) -> None:
    scoring = opened(work, "value")
    engine = scoring.open()
    scored = answered(engine, scoring.scorer.score(TRACE, LONG))
    length = len("".join(LONG)) + len(TRACE["problem"]) + 1
    # no call has fewer than 8 rows
    assert engine.counters.read_tokens <= length + 20 * 8
    apart = [
        answered(engine, scoring.scorer.score(TRACE, LONG[: count + 1])).x[-1]
        for count in range(20)
    ]
    engine.close()
    assert scored.x == apart


# -- trees ---------------------------------------------------------------------------------------


def tree() -> dict[str, Any]:
    """A spine of three steps, with steps and whole continuations drawn next to it."""
    texts = ["", *LONG[:3], LONG[4], LONG[5], LONG[6] + LONG[7], LONG[8]]
    parent = [-1, 0, 1, 2, 1, 4, 2, 0]
    size = len(parent)
    whole = [False] * 6 + [True, False]
    finish = ["", "", "", "stop", "", "stop", "stop", ""]
    return {
        "parent": parent, "text": texts, "whole": whole, "finish": finish,
        "outcome": [None] * size, "final": [None] * size, "by": [-1] * size,
        "draw": [-1] * size, "cut": [-1] * size, "rule": [""] * size, "tokens": [0] * size,
        "logprob": [None] * size, "spine": [1, 2, 3], "samplers": [],
    }  # fmt: skip


def way(columns: dict[str, Any], node: int) -> list[str]:
    steps: list[str] = []
    while node:
        steps.insert(0, columns["text"][node])
        node = columns["parent"][node]
    return steps


def test_every_node_of_a_tree_is_scored_as_its_own_trace(work: Workdir) -> None:
    prm = ggufs.write_llama(work.path / "p.gguf", profile=json.dumps(TOKENS), context=1024)
    columns = tree()
    record = TRACE | {"steps": LONG[:3], "response": "".join(LONG[:3]), "tree": columns}
    written = json.loads(score(work, "--prm", prm, record=record).out)
    found = written["tree"]["scores"]["prm"]
    assert found["of"] == "validity" and found["by"] == "scorer" and found["x"][0] is None
    for node in range(1, 8):
        steps = way(columns, node)
        alone = TRACE | {"steps": steps, "response": "".join(steps)}
        assert entry(score(work, "--prm", prm, record=alone))["x"][-1] == found["x"][node]
    assert written["scores"]["prm"]["x"] == [found["x"][node] for node in (1, 2, 3)]
    others = {k: v for k, v in written["tree"].items() if k != "scores"}
    assert others == columns


@pytest.mark.parametrize("name", ["tokens", "mlp", "value"])
def test_a_prefix_of_a_tree_is_evaluated_once(work: Workdir, name: str) -> None:
    from stepkit.search.scorers.tree_scores import score_tree

    scoring = opened(work, name)
    engine = scoring.open()
    columns = tree()
    answered(engine, score_tree(scoring.scorer, TRACE, columns))
    distinct = len(TRACE["problem"]) + 1 + sum(len(text) + 1 for text in columns["text"])
    # at a seam up to 7 tokens come again, so that no call has fewer than 8 rows
    assert engine.counters.read_tokens <= distinct + 8 * 8
    engine.close()


def test_a_tree_whose_spine_is_not_the_trace_is_refused(work: Workdir) -> None:
    prm = ggufs.write_llama(work.path / "p.gguf", profile=json.dumps(TOKENS), context=1024)
    done = score(work, "--prm", prm, record=TRACE | {"tree": tree()}, status=3)
    assert "tree.spine" in done.err


# -- the cache -----------------------------------------------------------------------------------


def decodes(
    scoring: scorers.ScoringSetup, folder: Path, deciding: dict[str, Any]
) -> tuple[Any, int]:
    engine = RecordedEngine(scoring.open(), ScoreCache(str(folder), deciding))
    result = answered(engine, scoring.scorer.score(TRACE, LONG))
    engine.close()
    return result, engine.counters.decodes


@pytest.mark.parametrize("name", ["tokens", "mlp", "value"])
def test_what_is_cached_takes_no_decode(work: Workdir, name: str) -> None:
    scoring = opened(work, name)
    first, spent = decodes(scoring, work.path / "cache", dict(scoring.scorer.meta))
    again, free = decodes(scoring, work.path / "cache", dict(scoring.scorer.meta))
    assert spent > 0 and free == 0 and first == again
    _, other = decodes(scoring, work.path / "cache", {"model": "another"})
    assert other == spent


def test_the_command_writes_the_same_bytes_from_the_cache(work: Workdir) -> None:
    prm = ggufs.write_llama(work.path / "p.gguf", profile=json.dumps(TOKENS), context=1024)
    lines = [TRACE | {"id": str(n), "problem": f"{n}?"} for n in range(5)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    plain = score(work, "--prm", prm, record=text).out
    assert score(work, "--prm", prm, "--cache", "c", record=text).out == plain
    files = sorted(path for path in (work.path / "c").rglob("*") if path.is_file())
    assert len(files) == 5 and all(path.suffix == ".json" for path in files)
    made = [path.stat().st_ino for path in files]
    again = score(work, "--prm", prm, "--cache", "c", record=text)
    assert again.out == plain and not again.err
    assert [path.stat().st_ino for path in files] == made  # they were read, not made again


def test_the_command_makes_a_cached_score_again_that_a_flipped_bit_changed(work: Workdir) -> None:
    """It was used, for it is still a number."""
    prm = ggufs.write_llama(work.path / "p.gguf", profile=json.dumps(TOKENS), context=1024)
    plain = score(work, "--prm", prm, "--cache", "c").out
    (file,) = work.path.joinpath("c").rglob("*.json")
    whole = file.read_bytes()
    digit = whole.index(b".", whole.index(b'"values"')) + 1
    for changed in (
        whole[:digit] + bytes([whole[digit] ^ 1]) + whole[digit + 1 :],
        b'{"k": "cut of',
        re.sub(rb',"sum":"[0-9a-f]*"', b"", whole),
    ):
        file.write_bytes(changed)
        done = score(work, "--prm", prm, "--cache", "c")
        name = file.relative_to(work.path)
        message = f"step-score: {name}: is damaged, or of an older stepkit; made again\n"
        assert (done.out, done.err) == (plain, message)
        assert file.read_bytes() == whole


def test_a_journal_of_scores_with_a_flipped_bit_gives_the_same_scores(work: Workdir) -> None:
    prm = ggufs.write_llama(work.path / "p.gguf", profile=json.dumps(TOKENS), context=1024)
    plain = score(work, "--prm", prm).out
    bad = json.dumps(TRACE) + "\n{bad\n"
    score(work, "--prm", prm, "-o", "out", record=bad, status=3)
    journal = bytearray(work.read("out.journal"))
    digit = journal.index(b".", journal.index(b'"values"')) + 1
    journal[digit] ^= 1
    work.write("out.journal", bytes(journal))
    done = score(work, "--prm", prm, "-o", "out", "--resume")
    assert "out.journal: line 3 is damaged" in done.err
    assert work.read("out") == plain


@pytest.mark.parametrize(
    "values", [[], [[1.0]], [["a", "b"]] * len(STEPS), [[1.0]] * len(STEPS), [None] * len(STEPS)]
)
def test_a_cached_score_of_wrong_types_is_no_internal_error(
    tmp_path: Path, work: Workdir, values: list[Any]
) -> None:
    """With a right checksum."""
    scoring, said = opened(work, "tokens"), list[str]()
    cache = ScoreCache(str(tmp_path / "k"), {}, said.append)
    expected = answered(RecordedEngine(scoring.open(), cache), scoring.scorer.score(TRACE, LONG))
    (file,) = (tmp_path / "k").rglob("*.json")
    cache.put(json.loads(file.read_text())["k"], {"values": values})
    engine = RecordedEngine(scoring.open(), cache)
    assert answered(engine, scoring.scorer.score(TRACE, LONG)) == expected
    assert len(said) == 1 and engine.counters.decodes > 0


def test_another_model_is_another_score(work: Workdir) -> None:
    for seed in (1, 2):
        ggufs.write_llama(work.path / f"{seed}.gguf", profile=json.dumps(TOKENS), seed=seed)
    plain = [score(work, "--prm", f"{seed}.gguf").out for seed in (1, 2)]
    cached = [score(work, "--prm", f"{seed}.gguf", "--cache", "c").out for seed in (1, 2)]
    assert plain == cached and len(set(plain)) == 2


def test_a_folder_that_cannot_be_made_is_said(work: Workdir) -> None:
    prm = ggufs.write_llama(work.path / "p.gguf", profile=json.dumps(TOKENS))
    work.write("file", "x")
    done = score(work, "--prm", prm, "--cache", "file", status=4)
    assert done.err == "step-score: --cache file: is not a folder\n"


def put_many(folder: str, own: int, count: int) -> None:
    cache = ScoreCache(folder, {})
    for number in range(count):
        cache.put(f"shared {number}", {"n": number, "text": "x" * 5000})
        cache.put(f"{own} {number}", {"n": number})


def test_writers_beside_each_other_and_a_crash_leave_whole_results(tmp_path: Path) -> None:
    folder, count = str(tmp_path / "cache"), 100
    context = get_context("spawn")
    writers = [context.Process(target=put_many, args=(folder, n, count)) for n in range(4)]
    for writer in writers:
        writer.start()
    writers[0].kill()  # at any point
    for writer in writers:
        writer.join()
    cache = ScoreCache(folder, {})
    for number in range(count):
        assert cache.get(f"shared {number}") == {"n": number, "text": "x" * 5000}
        assert all(cache.get(f"{own} {number}") == {"n": number} for own in (1, 2, 3))
        assert cache.get(f"0 {number}") in (None, {"n": number})
    assert cache.get("never") is None
