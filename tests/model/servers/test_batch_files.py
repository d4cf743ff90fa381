"""--to-batch and --from-batch: the round trip, with a batch service played by the test."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest
from journals import MemoryJournal
from servers import completion
from work import Done, Workdir

from stepkit.grade import Grader
from stepkit.model.engine import Draw, Sampling
from stepkit.model.recorded_engine import RecordedEngine
from stepkit.model.servers.batch_files import BatchRequests, BatchResults, MissingAnswerError
from stepkit.schema import Json
from stepkit.search.scheduler import AttemptRequest, Scheduler, Strategy

FORM = ("--prompt", "{problem}\\n", "--served", "toy-1")
TRACE = {"id": "t", "problem": "How?", "answer": "4", "response": "a\nb\n", "steps": ["a\n", "b\n"]}


def problems(count: int) -> str:
    rows = [{"id": f"p{n}", "problem": f"How much is {n}?", "answer": "4"} for n in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def rollout(work: Workdir, *args: str) -> Done:
    done = work.run("step-rollout", *FORM, *args)
    assert "Traceback" not in done.err and "internal error" not in done.err
    return done


def requests(work: Workdir, name: str = "ask") -> list[Json]:
    return [json.loads(line) for line in work.read(name).splitlines()]


def served(asked: list[Json], good: Callable[[int], bool] = lambda number: True) -> str:
    """What a service writes, in an order of its own: answers, and errors where not ``good``."""
    rows = []
    for number, request in enumerate(asked):
        row: Json = {"id": f"batch_{number}", "custom_id": request["custom_id"], "error": None}
        body = completion(request["body"])
        if not good(number):
            body = {"error": {"message": "rate limit\nreached"}}
        row["response"] = {"status_code": 200 if good(number) else 429, "body": body}
        rows.append(json.dumps(row) + "\n")
    random.Random(5).shuffle(rows)
    return "".join(rows)


def test_round_trip(work: Workdir) -> None:
    work.write("in", problems(3))
    args = ("in", "--method", "sample", "-k", "4", "-T", "0.5", "-o", "out")
    done = rollout(work, *args, "--to-batch", "ask")
    assert (done.status, done.out) == (0, b"")
    assert done.err == "step-rollout: 12 draws to make are in ask\n"
    assert work.names() == ["ask", "in"]
    asked = requests(work)
    assert len({row["custom_id"] for row in asked}) == 12
    for row in asked:
        assert (row["method"], row["url"]) == ("POST", "/v1/completions")
        assert row["body"].items() >= {"model": "toy-1", "temperature": 0.5}.items()
    work.write("got", served(asked))
    done = rollout(work, *args, "--from-batch", "got")
    assert (done.status, done.err, work.names()) == (0, "", ["ask", "got", "in", "out"])
    traces = [json.loads(line) for line in work.read("out").splitlines()]
    assert [trace["id"] for trace in traces] == [f"p{n}/{k}" for n in range(3) for k in range(4)]
    by_seed = {row["body"]["seed"]: completion(row["body"])["choices"][0]["text"] for row in asked}
    for trace in traces:
        assert trace["response"] == by_seed[trace["sample"]["seed"] % (2**31 - 1) + 1]
        assert trace["sample"]["sampler"]["server"] == "batch"


def test_a_round_asks_for_what_is_still_missing(work: Workdir) -> None:
    """Failed draws are not there; what came is kept, and is not asked for again."""
    work.write("in", json.dumps(TRACE) + "\n")
    args = ("in", "-k", "5", "-o", "out")
    assert rollout(work, *args, "--to-batch", "ask").status == 0
    asked = requests(work)
    work.write("got", served(asked, lambda number: number % 3 > 0))
    done = rollout(work, *args, "--from-batch", "got")
    message = (
        "4 draws are still missing (4 of them failed, the first: HTTP 429: rate limit reached)"
    )
    assert (done.status, done.out) == (4, b"")
    unanswered = "step-rollout: 1 of 7 draws have no answer: t\n"
    missing = f"step-rollout: {message}; ask for them with --to-batch and --resume\n"
    assert done.err == unanswered + missing
    assert work.names() == ["ask", "got", "in", "out.journal"]
    assert rollout(work, *args, "--to-batch", "more").status == 2  # the journal holds work
    done = rollout(work, *args, "--to-batch", "more", "--resume")
    assert done.status == 0 and "4 draws to make are in more" in done.err
    expected = [row for number, row in enumerate(asked) if number % 3 == 0]
    assert requests(work, "more") == expected
    work.write("rest", served(expected))
    assert rollout(work, *args, "--from-batch", "rest", "--resume").status == 0
    work.write("all", served(asked))
    assert rollout(work, *args[:-1], "once", "--from-batch", "all").status == 0
    assert work.read("out") == work.read("once")
    assert work.names() == ["all", "ask", "got", "in", "more", "once", "out", "rest"]


def test_equal_draws_are_asked_for_once(work: Workdir) -> None:
    again = {**TRACE, "id": "u", "response": "a\nc\n", "steps": ["a\n", "c\n"]}
    work.write("in", json.dumps(TRACE) + "\n" + json.dumps(again) + "\n")
    done = rollout(work, "in", "-k", "3", "--to-batch", "-")
    keys = [json.loads(line)["custom_id"] for line in done.lines]
    assert done.status == 0 and len(keys) == len(set(keys)) == 2 * 3  # two prefixes, shared


class Supply:
    """One strategy."""

    ended = False

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy

    def take(self, wait: bool) -> tuple[str, Strategy] | None:
        self.ended = True
        return "it", self._strategy


def twice() -> Strategy:
    """Draws again only when it has seen what it drew."""
    sampling = Sampling(max_tokens=9)
    prompt = tuple(b"How?")
    (one,) = yield [AttemptRequest(Draw("a", prompt, 1, sampling), "", None)]
    key = f"b{one.draw.tokens}"
    (two,) = yield [AttemptRequest(Draw(key, prompt, 2, sampling), "", None)]
    return one.draw.text, two.draw.text


def test_a_strategy_that_looks_at_its_draws_takes_rounds(work: Workdir) -> None:
    journal, rounds = MemoryJournal(), []
    while True:
        lines: list[bytes] = []
        engine = RecordedEngine(BatchRequests(lines.append, "toy-1"), journal)
        with Grader(1) as grader:
            ((_, result),) = Scheduler[str](engine, grader).run(Supply(twice()))
        if not lines:
            break
        assert isinstance(result, MissingAnswerError)
        asked = [json.loads(line) for line in lines]
        rounds.append([row["custom_id"] for row in asked])
        path = work.write("got", served(asked))
        answers = RecordedEngine(BatchResults(str(path)), journal)
        with Grader(1) as grader:
            list(Scheduler[str](answers, grader).run(Supply(twice())))
    assert rounds == [["a"], ["b7"]]
    assert isinstance(result, tuple)
    assert [text.split("\n")[0] for text in result] == ["So it is", "So it is"]


def test_results_of_something_else_are_told(work: Workdir) -> None:
    work.write("in", problems(1))
    args = ("in", "--method", "sample", "-k", "2", "-o", "out")
    rollout(work, *args, "--to-batch", "ask")
    strange = {"custom_id": "abc", "response": {"status_code": 200, "body": {}}}
    work.write("got", served(requests(work)) + json.dumps(strange) + "\n")
    done = rollout(work, *args, "--from-batch", "got")
    assert (done.status, len(work.read("out").splitlines())) == (0, 2)
    message = "got: 1 results are of no draw of this run, the first: abc"
    assert done.err == f"step-rollout: {message}\n"


def test_bad_records_are_told_as_ever(work: Workdir) -> None:
    work.write("in", problems(1) + '{"id": "x"}\n' + problems(2))
    done = rollout(work, "in", "--method", "sample", "-k", "1", "--to-batch", "ask")
    assert done.status == 3 and done.err.startswith("step-rollout: in:2: ")
    assert b"How" in work.read("ask.part") and "ask" not in work.names()
    skip = ("--on-error", "skip")
    done = rollout(work, "in", "--method", "sample", "-k", "1", "--to-batch", "ask", *skip)
    assert done.status == 1 and len(requests(work)) == 3


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (("--to-batch", "a", "--from-batch", "b"), 2, "two steps"),
        (("--from-batch", "in"), 2, "--from-batch needs -o FILE"),
        (("--from-batch", "no", "-o", "out"), 2, "--from-batch no: no such file or directory"),
        (("--to-batch", "no/where"), 2, "no/where.part: no such file or directory"),
        (("--to-batch", "in"), 2, "in: is also an input"),
        (("--to-batch", "a", "--server", "http://x"), 2, "instead of --server"),
        (("--to-batch", "a", "--timeout", "9"), 2, "--timeout goes with --server"),
        (("--to-batch", "a", "--dry-run"), 2, "--dry-run"),
        (("--from-batch", "torn", "-o", "out"), 4, "torn:2: not JSON"),
        (("--from-batch", "in", "-o", "out"), 4, 'in:1: a result without "custom_id"'),
    ],
)
def test_options_that_make_no_sense(
    work: Workdir, args: tuple[str, ...], status: int, message: str
) -> None:
    work.write("in", problems(1))
    work.write("torn", '{"custom_id": "a"}\n{"custom_')
    done = rollout(work, "in", *args)
    assert (done.status, done.err.count("\n")) == (status, 1)
    assert message in done.err
    assert work.names() == ["in", "torn"]


def test_a_model_must_be_named(work: Workdir) -> None:
    done = work.run("step-rollout", "--prompt", "{problem}", "--to-batch", "a", input=problems(1))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "batch files need --served NAME" in done.err
