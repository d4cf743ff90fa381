"""A model opened from Python draws and scores as the commands do: the same records."""

from __future__ import annotations

import _thread
import inspect
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from work import ROOT, Workdir

import stepkit
from stepkit.cli import rollout as command_of_rollout
from stepkit.schema import Json

PROBLEMS = ROOT / "samples" / "problems.jsonl"
TRACES = ROOT / "samples" / "traces.jsonl"
POLICY = ROOT / "samples" / "models" / "policy.gguf"
PRM = ROOT / "samples" / "models" / "prm.gguf"


@pytest.fixture(scope="module")
def policy() -> Iterator[stepkit.ModelSession]:
    with stepkit.open_model(POLICY) as session:
        yield session


@pytest.fixture(scope="module")
def prm() -> Iterator[stepkit.ModelSession]:
    with stepkit.open_model(PRM) as session:
        yield session


def problems() -> list[Json]:
    return stepkit.read_records(PROBLEMS)[:2]


def traces() -> list[Json]:
    return stepkit.split(stepkit.read_records(TRACES)[:2], grade=True)


def command(work: Workdir, records: list[Json], name: str, *arguments: str | Path) -> list[Json]:
    """What a command writes for the records."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    done = work.run(name, *arguments, input=lines, timeout=300)
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]


def test_draw_is_sample(work: Workdir, policy: stepkit.ModelSession) -> None:
    arguments = "--method sample -k 2 --max-tokens 48 --seed 7 -T 0.8 --stop 4"
    wanted = command(work, problems(), "step-rollout", "-m", POLICY, *arguments.split())
    made = policy.draw(problems(), 2, max_tokens=48, seed=7, temperature=0.8, stop=["4"])
    assert made == wanted and len(made) == 4


def test_a_problem_may_be_a_text(policy: stepkit.ModelSession) -> None:
    text = problems()[0]["problem"]
    (one,) = policy.draw([text], 1, max_tokens=48)
    (other,) = policy.draw([{"problem": text}], 1, max_tokens=48)
    assert one == other and one["problem"] == text and one["correct"] is None


@pytest.mark.parametrize(
    ("method", "options", "arguments"),
    [
        (None, {"k": 3}, "-k 3"),
        ("bisect", {"k": 4, "until": "drop:rho=0.5"}, "--method bisect -k 4 --until drop:rho=0.5"),
        (
            "beam",
            {"prm": PRM, "beams": 2, "width": [2], "emit": "traces"},
            f"--method beam --prm {PRM} --beams 2 --width 2 --emit traces",
        ),
    ],
)
def test_rollout_is_step_rollout(
    work: Workdir, policy: stepkit.ModelSession, method: str | None, options: Json, arguments: str
) -> None:
    split = arguments.split()
    wanted = command(work, traces(), "step-rollout", "-m", POLICY, "--max-tokens", "48", *split)
    given = traces()
    assert policy.rollout(given, method, max_tokens=48, **options) == wanted
    assert given == traces()


@pytest.mark.parametrize("by", ["logprob", "self-certainty"])
def test_any_model_scores_as_step_score_does(
    work: Workdir, policy: stepkit.ModelSession, by: str
) -> None:
    wanted = command(work, traces(), "step-score", "-m", POLICY, "--by", by)
    assert policy.score(traces(), by) == wanted


def test_a_reward_model_scores_steps_and_nodes_as_step_score_does(
    work: Workdir, policy: stepkit.ModelSession, prm: stepkit.ModelSession
) -> None:
    evidence = [*policy.rollout(traces()[:1], k=2, max_tokens=48), traces()[1]]
    wanted = command(work, evidence, "step-score", "--prm", PRM, "--name", "mine")
    assert prm.score(evidence, name="mine") == wanted
    assert "mine" in wanted[0]["tree"]["scores"] and "mine" in wanted[1]["scores"]


def test_the_defaults_are_those_of_step_rollout() -> None:
    parameters = inspect.signature(stepkit.ModelSession.rollout).parameters
    main: Any = command_of_rollout.main
    taken = main.make_context("step-rollout", [], resilient_parsing=True).params
    named = {"k": "draws"}
    off = {"emit": {"tree": None}}  # what the command means by "not given"
    for key, parameter in parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            default = off.get(key, {}).get(parameter.default, parameter.default)
            assert (default or None) == (taken[named.get(key, key)] or None), key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "astar"}, 'no method "astar"; methods are chain, '),
        ({"width": 3}, "--width has no effect with --method chain"),
        ({"k": 0}, "k=0: 0 is not in the range x>=1"),
        ({"temperature": -1.0}, "temperature=-1.0: -1.0 is not in the range"),
        ({"lenght": 3}, 'no option "lenght" of rollout'),
        ({"marker": "x"}, "--marker describes a PRM"),
        ({"emit": "both"}, 'emit="both": expected tree or traces'),
    ],
)
def test_options_that_are_none(policy: stepkit.ModelSession, options: Json, message: str) -> None:
    with pytest.raises(stepkit.UsageError, match=message):
        policy.rollout(traces(), **options)


def test_errors_name_the_record_or_the_file(policy: stepkit.ModelSession, tmp_path: Path) -> None:
    with pytest.raises(stepkit.DataError, match=r'^records\[1\]: field "answer": missing'):
        policy.rollout([traces()[0], {"problem": "?"}], k=1, max_tokens=8)
    with pytest.raises(stepkit.UsageError, match='by="rpm": expected prm, logprob'):
        policy.score(traces(), "rpm")
    (tmp_path / "no.gguf").write_text("no")
    with pytest.raises(stepkit.UsageError, match="not a GGUF file"):
        stepkit.open_model(tmp_path / "no.gguf")


def test_an_interrupted_call_leaves_a_session_that_goes_on(policy: stepkit.ModelSession) -> None:
    """Ctrl-C in a notebook: the call ends, and the next one gives what it always gave."""
    first = policy.draw(problems(), 1, max_tokens=48)
    ended = threading.Event()

    def interrupt() -> None:
        # Python drops one that arrives inside a callback of llama.cpp
        while not ended.wait(0.5 if not sent else 3.0):
            sent.append(1)
            _thread.interrupt_main()

    sent: list[int] = []
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        try:
            policy.draw(problems(), 5000, max_tokens=96)
        finally:
            ended.set()
    assert policy.draw(problems(), 1, max_tokens=48) == first


def test_a_closed_session_says_so() -> None:
    session = stepkit.open_model(POLICY)
    session.close()
    session.close()
    with pytest.raises(stepkit.UsageError, match="the session is closed"):
        session.draw(["1 + 1?"])
