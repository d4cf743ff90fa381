"""Searches guided by verifiers that their own file does not describe: a profile, a head, a pair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from checkpoints import head_tensors, write_checkpoint
from rollouts import POLICY, PRM, SMALL, every_method, problems, records, rollout
from work import Done, Workdir
from worlds import problems as sample_problems

from stepkit.model.local.llama import Model

HEADS: Mapping[str, dict[str, Any]] = {
    "head": {"head": "mlp", "outputs": 2, "map": "softmax", "good": [1], "of": "value"},
    "value": {"head": "linear", "outputs": 1, "map": "sigmoid", "ending": "\n", "of": "value"},
}
"""Read at the last token of every prefix: as it stands, and after a branch."""
IMPLICIT = {"kind": "implicit", "prompt": "{problem}\n", "at": "last", "beta": 1.0, "of": "raw"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str | Path, ...]]:
    """How each way to read the sample models is written on the command line."""
    work = Workdir(tmp_path_factory.mktemp("described"))
    model = Model(str(PRM))
    width, own = model.width, json.loads(model.metadata("stepkit.profile") or "")
    model.close()
    turned = {**own, "positive": own["negative"], "negative": own["positive"]}
    profile = work.write("turned.json", json.dumps(turned))
    implicit = work.write("implicit.json", json.dumps(IMPLICIT))
    arguments: dict[str, tuple[str | Path, ...]] = {
        "profile": ("--prm", PRM, "--profile", profile),
        "implicit": ("--prm", PRM, "--profile", implicit, "--reference", POLICY),
    }
    for name, head in HEADS.items():
        about = {"kind": "hidden-head", "prompt": "{problem}\n", "at": "last", **head}
        path = work.write(f"{name}.json", json.dumps(about))
        tensors = head_tensors(head["head"], width, head["outputs"])
        write_checkpoint(work.path / f"{name}.checkpoint", tensors)
        made = (f"{name}.checkpoint", "--profile", path, "-o", f"{name}.head")
        done = work.run("step-head", *made)
        assert done.status == 0, done.err
        arguments[name] = ("--prm", PRM, "--profile", path, "--head", work.path / f"{name}.head")
    return arguments


def guided(work: Workdir, method: str, *more: str | Path, text: str = "") -> Done:
    args = ("--method", method, *SMALL[method], "--max-tokens", "96", *more)
    done = rollout(work, text or problems(1), *args, timeout=600)
    assert done.status == 0, done.err
    return done


def scored_again(work: Workdir, traces: bytes, *prm: str | Path) -> list[dict[str, Any]]:
    """The traces with what step-score says of them under the name ``own``."""
    done = work.run("step-score", "-t", "1", "--name", "own", *prm, input=traces)
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]


def agree(traces: list[dict[str, Any]]) -> None:
    assert traces
    for trace in traces:
        found, own = trace["scores"]["prm"], trace["scores"]["own"]
        assert found["x"] == pytest.approx(own["x"], abs=1e-4)
        assert (found["of"], found["meta"]) == (own["of"], own["meta"])
    assert len({x for trace in traces for x in trace["scores"]["prm"]["x"]}) > 1


@every_method
def test_a_head_guides_by_what_step_score_reads_with_it(
    work: Workdir, described: dict[str, tuple[str | Path, ...]], method: str
) -> None:
    traces = guided(work, method, *described["head"], "--emit", "traces").out
    agree(scored_again(work, traces, *described["head"]))


@pytest.mark.parametrize("kind", ["profile", "value", "implicit"])
def test_a_verifier_of_any_kind_guides_a_beam(
    work: Workdir, described: dict[str, tuple[str | Path, ...]], kind: str
) -> None:
    traces = guided(work, "beam", *described[kind], "--emit", "traces").out
    agree(scored_again(work, traces, *described[kind]))


def test_the_options_override_the_profile_as_in_step_score(
    work: Workdir, described: dict[str, tuple[str | Path, ...]]
) -> None:
    """The tokens turned round, by a file or by options, turn the scores round."""
    profile = json.loads(Path(described["profile"][-1]).read_text())
    words = [
        token["text"] if isinstance(token, dict) else token
        for token in (profile["positive"], profile["negative"])
    ]
    options = ("--prm", PRM, "--positive", words[0], "--negative", words[1])
    traces = guided(work, "beam", *options, "--emit", "traces").out
    turned = [trace["scores"]["prm"]["x"] for trace in map(json.loads, traces.splitlines())]
    own = [trace["scores"]["own"]["x"] for trace in scored_again(work, traces, "--prm", PRM)]
    assert [x for one in turned for x in one] == pytest.approx(
        [1 - x for one in own for x in one], abs=1e-4
    )


@pytest.mark.parametrize("kind", ["head", "graft", "implicit"])
def test_the_policys_own_engine_reads_what_is_on_the_policy(
    work: Workdir, described: dict[str, tuple[str | Path, ...]], kind: str
) -> None:
    """Of the policy's own file, whatever is read in it, one context is opened; an implicit one's
    reference is another model."""
    if kind == "graft":
        checkpoint = Path(described["value"][-1]).with_name("value.checkpoint")
        graft = ("--graft", PRM, "--profile", described["value"][3], "--rows", "0")
        done = work.run("step-head", checkpoint, *graft, "-o", "graft.gguf")
        assert done.status == 0, done.err
        arguments: tuple[str | Path, ...] = ("--prm", work.path / "graft.gguf")
    else:
        arguments = described[kind]
    run = ("-m", arguments[1], "-t", "1", "--method", "beam", *SMALL["beam"], "--max-tokens", "24")
    more = ("--searches", "2", "-v", *arguments)
    done = work.run("step-rollout", *run, *more, input=problems(1), timeout=600)
    assert done.status == 0, done.err
    assert done.err.count("layout:") == 1
    (record,) = records(done)
    tree, x = record["tree"], record["tree"]["scores"]["prm"]["x"]
    first = [node for node in range(1, len(x)) if not tree["parent"][node] and tree["text"][node]]
    lines = [
        {"problem": record["problem"], "response": text, "steps": [text]}
        for text in (tree["text"][node] for node in first)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    again = scored_again(work, text.encode(), *arguments)
    assert [x[node] for node in first] == pytest.approx(
        [line["scores"]["own"]["x"][0] for line in again], abs=1e-4
    )


def test_another_profile_or_head_is_no_resume(
    work: Workdir, described: dict[str, tuple[str | Path, ...]]
) -> None:
    """The second record is none, so the journal stays; it goes on with the same verifier only."""
    work.write("in.jsonl", problems(1) + "no record\n")
    args = ("in.jsonl", "--method", "beam", *SMALL["beam"], "--searches", "2", "-o", "a.jsonl")
    journal = work.path / "a.jsonl.journal"
    for kind, other in (("profile", ("--prm", PRM)), ("head", described["value"])):
        interrupted = rollout(work, None, *args, *described[kind], stdin=None)
        assert interrupted.status == 3 and journal.exists()
        changed = rollout(work, None, *args, *other, "--resume", stdin=None)
        assert changed.status == 2 and "--resume: prm" in changed.err
        again = rollout(work, None, *args, *described[kind], "--resume", stdin=None)
        assert again.status == 3
        journal.unlink()


@every_method
def test_a_dry_run_supposes_the_same_whatever_the_verifier_gives(
    work: Workdir, described: dict[str, tuple[str | Path, ...]], method: str
) -> None:
    """A head has several outputs, a value model is read after branches; both are supposed to find
    all steps equally good, as a verifier of two tokens is."""
    solved = next(sample_problems("test", 5))
    record = {"problem": solved.problem, "answer": solved.answer, "solution": solved.solution}
    text = json.dumps(record) + "\n"
    (plain,) = records(guided(work, method, "--prm", PRM, "--dry-run", text=text))
    assert plain["new_tokens"] > 0
    for kind in ("head", "value"):
        assert records(guided(work, method, *described[kind], "--dry-run", text=text)) == [plain]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--method chain --profile p.json", "--profile describes a PRM: it goes with --prm"),
        ("--method mcts --head h.safetensors", "--head describes a PRM: it goes with --prm"),
        ("--marker x", "--marker describes a PRM: it goes with --prm"),
        ("--method beam --prm PRM --head h.safetensors", "h.safetensors"),
        ("--method beam --prm PRM --reference PRM", "--reference: the profile is of kind"),
        ("--method beam --prm PRM --profile whole.json", "a search goes by those"),
        ("--method beam --prm PRM --profile head.json", "give it with --head"),
        ("--method beam --prm PRM --profile missing.json", "missing.json"),
    ],
)
def test_what_does_not_describe_a_guide_is_refused(
    work: Workdir, options: str, message: str
) -> None:
    model = Model(str(PRM), vocabulary_only=True)
    own = json.loads(model.metadata("stepkit.profile") or "")
    model.close()
    work.write("whole.json", json.dumps({**own, "attempt": True}))
    work.write("head.json", json.dumps({"kind": "hidden-head", "at": "last", **HEADS["head"]}))
    arguments = [str(PRM) if word == "PRM" else word for word in options.split()]
    done = rollout(work, problems(1), *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, b"", 1), done.err
    assert message in done.err
