"""step-score --judge answer: only what is undecided is asked; a verdict says where it is from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import Fake, Reply, completion
from work import ROOT, Done, Workdir

from stepkit.schema import Json

LOOPBACK = {"NO_PROXY": "*"}
ASKED: Json = {
    "id": "a",
    "problem": "How many eggs are a dozen?",
    "answer": 12,
    "final": "twelve",
    "correct": None,
}
SAME = "Reason: twelve is 12\nVerdict: same"
DIFFERENT = "Reason: a word is no number\nVerdict: different"
UNSURE = "Reason: of what?\nVerdict: unsure"


@contextmanager
def saying(*replies: str, finish: str = "stop", failing_from: int = 10**9) -> Iterator[Fake]:
    """A server that gives ``replies`` one after the other, and then the last one again.

    Args:
        failing_from: number of the request from which on it fails.
    """

    def behave(number: int, body: Json) -> Reply:
        if number >= failing_from:
            return Reply(500)
        made = completion(body)
        made["choices"][0]["text"] = replies[min(number, len(replies) - 1)]
        made["choices"][0]["finish_reason"] = finish
        return Reply(body=json.dumps(made).encode())

    with Fake(behave) as fake:
        yield fake


def judge(work: Workdir, fake: Fake, *args: str | Path, input: str) -> Done:
    done = work.run(
        *("step-score", "--server", fake.url, "--judge", "answer", "--prompt", "<{problem}>"),
        *("--concurrency", "1", *args),
        input=input,
        environment=LOOPBACK,
    )
    assert "Traceback" not in done.err
    return done


def line(**changes: object) -> str:
    return json.dumps(ASKED | changes) + "\n"


def only(done: Done) -> Json:
    assert done.status == 0, done.err
    (record,) = map(json.loads, done.lines)
    return record


@pytest.mark.parametrize(
    ("reply", "same", "k", "n", "why"),
    [
        (SAME, True, 1, 1, "twelve is 12"),
        (DIFFERENT, False, 0, 1, "a word is no number"),
        (UNSURE, None, 0, 0, "of what?"),
        ("They agree.", None, 0, 0, "no verdict in the reply"),
    ],
)
def test_a_verdict_says_where_it_is_from(
    work: Workdir, reply: str, same: bool | None, k: int, n: int, why: str
) -> None:
    with saying(reply) as fake:
        record = only(judge(work, fake, input=line()))
    assert record["correct"] is same and record["stepkit"] == 1
    verdict = record["verdicts"]["answer"]
    meta = verdict.pop("meta")
    counts = {"k": k, "n": n, "undecided": 1 - n}
    assert verdict == {"by": "judge", "same": same, **counts, "why": why}
    assert meta["judge"] == "answer" and meta["name"] == "toy-1" and meta["judge_prompt"]


def test_the_judge_is_shown_problem_reference_and_answer(work: Workdir) -> None:
    with saying(SAME) as fake:
        only(judge(work, fake, input=line(final="{reference}")))
    (prompt,) = [body["prompt"] for body in fake.bodies]
    assert f"Problem:\n{ASKED['problem']}\n" in prompt
    assert "Reference answer:\n12\n" in prompt and "Student's answer:\n{reference}\n" in prompt


@pytest.mark.parametrize(
    ("replies", "same", "counts", "why"),
    [
        ((DIFFERENT, SAME, SAME), True, (2, 3, 0), "twelve is 12"),
        ((SAME, DIFFERENT, DIFFERENT), False, (1, 3, 0), "a word is no number"),
        ((SAME, UNSURE, UNSURE), None, (1, 1, 2), "of what?"),
        ((SAME, DIFFERENT), None, (1, 2, 0), "as many replies for as against"),
    ],
)
def test_more_than_half_of_the_replies_decide(
    work: Workdir,
    replies: tuple[str, ...],
    same: bool | None,
    counts: tuple[int, int, int],
    why: str,
) -> None:
    with saying(*replies) as fake:
        record = only(judge(work, fake, "-k", str(len(replies)), input=line()))
    assert len({body["seed"] for body in fake.bodies}) == len(replies)
    verdict = record["verdicts"]["answer"]
    assert record["correct"] is same and verdict["why"] == why
    assert (verdict["k"], verdict["n"], verdict["undecided"]) == counts


def test_a_reply_that_was_cut_off_decides_nothing(work: Workdir) -> None:
    with saying(SAME, finish="length") as fake:
        record = only(judge(work, fake, input=line()))
    assert record["correct"] is None
    assert record["verdicts"]["answer"]["why"].startswith("the reply was cut off at ")


def test_what_is_no_question_passes_through_byte_for_byte(work: Workdir) -> None:
    ungraded = {key: value for key, value in ASKED.items() if key != "correct"}
    passing = [
        line(correct=True),
        '{"problem":"p",  "answer":"1.10","final":"2","correct" : false, "n": 98765432109876543}\n',
        line(final=None),
        line(answer=None),
        json.dumps(ungraded) + "\n",
    ]
    with saying(SAME) as fake:
        done = judge(work, fake, input="".join([*passing, line()]))
    assert done.status == 0, done.err
    assert b"\n".join(done.lines[:-1]) + b"\n" == "".join(passing).encode()
    assert json.loads(done.lines[-1])["correct"] is True and len(fake.bodies) == 1
    assert (
        "asked about 1 of 6 records: 1 same, 0 different, 0 undecided; not asked: "
        "2 decided already, 1 without a final answer, 1 without a reference answer, "
        "1 not graded (step-split --grade)\n"
    ) in done.err


def test_how_the_verdicts_fell_is_a_detail_where_all_were_asked(work: Workdir) -> None:
    with saying(SAME, UNSURE) as fake:
        assert judge(work, fake, input=line() + line(id="b")).err == ""
        told = judge(work, fake, "-v", input=line()).err
    assert "asked about 1 of 1 records: 0 same, 0 different, 1 undecided\n" in told


def test_other_verdicts_stay(work: Workdir) -> None:
    pairs = [{"against": "b", "p": 0.5, "n": 1}]
    with saying(SAME) as fake:
        found = judge(work, fake, "--name", "x", input=line(verdicts={"pairs": pairs}))
    verdicts = only(found)["verdicts"]
    assert list(verdicts) == ["pairs", "x"] and verdicts["pairs"] == pairs


def test_a_tournament_passes_over_a_verdict_on_an_answer(work: Workdir) -> None:
    records = [
        {"id": name, "group": "g", "verdicts": {
            "answer": {"by": "judge", "same": True},
            "pairs": [{"against": other, "p": p, "n": 1}],
        }}
        for name, other, p in (("a", "b", 0.25), ("b", "a", 0.75))
    ]  # fmt: skip
    text = "".join(
        json.dumps(record | {"problem": "p", "response": "r", "steps": ["r"]}) + "\n"
        for record in records
    )
    done = work.run("step-rerank", "--by", "knockout", input=text)
    assert done.status == 0, done.err
    assert json.loads(done.out)["id"] == "b"


def test_a_run_that_failed_asks_only_the_rest(work: Workdir) -> None:
    text = line() + line(id="b", final="a dozen")
    out = work.path / "out.jsonl"
    with saying(SAME, failing_from=1) as fake:
        assert judge(work, fake, "-o", out, "--retries", "1", input=text).status != 0
    assert not out.exists()
    with saying(DIFFERENT) as fake:
        done = judge(work, fake, "-o", out, "--resume", input=text)
        assert done.status == 0, done.err
        assert len(fake.bodies) == 1
    found = [json.loads(one)["correct"] for one in out.read_text().splitlines()]
    assert found == [True, False]


@pytest.mark.parametrize(
    "again",
    [("step-split", "--grade"), ("step-rollout", "--regrade")],
)
def test_grading_again_drops_the_judge_s_verdict(work: Workdir, again: tuple[str, ...]) -> None:
    judged = line(correct=True, response="The answer is 13.", final="thirteen",
                  verdicts={"answer": {"by": "judge", "same": True}})  # fmt: skip
    record = only(work.run(*again, input=judged))
    assert record["correct"] is False and record["final"] == "13" and "verdicts" not in record


def test_vote_has_no_effect(work: Workdir) -> None:
    with saying(SAME) as fake:
        done = judge(work, fake, "--vote", "mean", input=line())
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "--vote has no effect with --judge answer" in done.err


def test_a_model_here_is_held_to_the_form(work: Workdir) -> None:
    """The sample policy knows no words: whatever it writes, the grammar ends it with a verdict."""
    done = work.run(
        *("step-score", "-m", ROOT / "samples" / "models" / "policy.gguf", "-t", "1"),
        *("--judge", "answer", "-k", "5", "--max-reason", "8", "--prompt", "{problem}"),
        input=line(),
    )
    verdict = only(done)["verdicts"]["answer"]
    assert verdict["n"] + verdict["undecided"] == 5
    assert "no verdict" not in verdict["why"] and "another form" not in verdict["why"]
    assert "cut off" not in verdict["why"] and len(verdict["why"]) <= 30
