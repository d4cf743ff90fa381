"""--stop-at-answer: draws end with their answer, here and on servers; a draw that does is a prefix
of the one that does not."""

from __future__ import annotations

import json
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from servers import POLICY, Fake, completion, events_of, llama_server, tokens_of
from work import Done, Workdir

from stepkit.schema import Json
from stepkit.text.answer_end import answer_is_complete
from stepkit.text.answers import extract

RAMBLING = 'root ::= "So it is " [0-9] ".\\n#### " [0-9] "\\nThen " [a-z 0-9]+\n'
STEPS = 'root ::= ("It is " [0-9] "." | "#### " [0-9]) "\\nThen " [a-z 0-9]+\n'
"""A grammar is followed from its root in every step that is drawn."""
LOOPBACK = {"NO_PROXY": "*"}
PROBLEMS = "".join(
    json.dumps({"id": f"p{n}", "problem": f"How much is {n}?", "answer": "4"}) + "\n"
    for n in range(3)
)


def records(done: Done) -> list[Json]:
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]


def draws(
    work: Workdir, *args: str | Path, text: str = PROBLEMS, grammar: str = RAMBLING
) -> list[Json]:
    work.write("rambling.gbnf", grammar)
    given = ("-m", POLICY, "--grammar", "rambling.gbnf", "--max-tokens", "48", *args)
    return records(work.run("step-rollout", *given, input=text))


def test_a_draw_is_the_beginning_of_the_one_that_goes_on(work: Workdir) -> None:
    sample = ("--method", "sample", "-k", "4")
    whole, ended = draws(work, *sample), draws(work, *sample, "--stop-at-answer")
    assert len(ended) == 12
    for long, short in zip(whole, ended, strict=True):
        text = short["response"]
        assert long["response"].startswith(text) and text.endswith("\n")
        assert short["sample"]["ids"] == long["sample"]["ids"][: short["sample"]["tokens"]]
        assert short["sample"]["seed"] == long["sample"]["seed"]
        assert (long["sample"]["finish"], short["sample"]["finish"]) == ("length", "stop")
        assert short["final"] == text.split("#### ")[1].strip()
        assert short["correct"] is (short["final"] == "4") and long["correct"] is None
        assert short["sample"]["sampler"]["stop_at_answer"] is True
        assert "stop_at_answer" not in long["sample"]["sampler"]
        assert short["sample"]["sampler"]["id"] != long["sample"]["sampler"]["id"]


def test_prefixes_of_a_trace_are_drawn_to_their_answer(work: Workdir) -> None:
    trace: Json = {"problem": "How much?", "answer": "4", "response": "First.\nSecond.\n#### 4"}
    trace["steps"] = ["First.\n", "Second.\n", "#### 4"]
    (record,) = draws(work, "-k", "3", "--stop-at-answer", text=json.dumps(trace) + "\n")
    tree = record["tree"]
    drawn = [node for node in range(len(tree["draw"])) if tree["draw"][node] >= 0]
    assert len(drawn) == 9
    assert all(tree["text"][n].split("\n", 1)[1].startswith("####") for n in drawn)
    assert all(tree["finish"][n] == "stop" and tree["outcome"][n] is not None for n in drawn)


def test_a_step_with_the_answer_ends_the_attempt_of_a_search(work: Workdir) -> None:
    args = ("--method", "mcts", "--searches", "4", "--width", "2", "--by", "lines")
    for record in draws(work, *args, "--stop-at-answer", grammar=STEPS):
        tree = record["tree"]
        with_answer = [n for n, text in enumerate(tree["text"]) if text.startswith("####")]
        assert with_answer
        assert all(tree["finish"][n] == "stop" for n in with_answer)
        assert not set(with_answer) & set(tree["parent"])


def test_a_resume_with_and_without_it_is_refused_by_name(work: Workdir) -> None:
    work.write("in.jsonl", PROBLEMS)
    args = ("in.jsonl", "-m", POLICY, "--method", "sample", "-k", "9", "-o", "out.jsonl")
    running = work.start("step-rollout", *args, "--stop-at-answer", stdin=subprocess.DEVNULL)
    journal = work.path / "out.jsonl.journal"
    while not journal.exists() or journal.stat().st_size < 3000:
        assert running.poll() is None
    running.kill()
    running.wait()
    done = work.run("step-rollout", *args, "--resume")
    assert done.status == 2 and "stop_at_answer" in done.err, done.err


@pytest.mark.parametrize(
    "args", [("--answer", "last-number"), ("--answer-pattern", "[0-9]+")], ids=["rule", "pattern"]
)
def test_other_readings_of_the_answer_are_refused(work: Workdir, args: tuple[str, str]) -> None:
    done = work.run("step-rollout", "-m", POLICY, "--stop-at-answer", *args)
    assert done.status == 2
    assert f"--stop-at-answer: by {args[0]}" in done.err and done.err.count("\n") == 1


# ---- servers --------------------------------------------------------------------------------

TAIL = " ".join(["and so on"] * 100)


def rambling(body: Json) -> Json:
    """An answer that goes on for 300 tokens after its line."""
    response = completion({**body, "max_tokens": 100})
    pieces = tokens_of(f"So it is\n#### {len(str(body['prompt'])) % 7}\n{TAIL}")
    choice = response["choices"][0]
    choice["text"], choice["finish_reason"] = "".join(pieces), "length"
    if choice["logprobs"]:
        choice["logprobs"] = {"tokens": pieces, "token_logprobs": [-0.5] * len(pieces)}
    response["usage"]["completion_tokens"] = len(pieces)
    return response


def served(work: Workdir, fake: Fake, *args: str) -> list[Json]:
    given = ("--server", fake.url, "--method", "sample", "--prompt", "{problem}\\n", *args)
    settings: Any = {"environment": LOOPBACK}
    return records(work.run("step-rollout", *given, input=PROBLEMS, **settings))


def test_a_server_is_left_as_soon_as_the_answer_is_complete(work: Workdir) -> None:
    with Fake(answer=rambling) as fake:
        found = served(work, fake, "-k", "2", "--stop-at-answer")
        assert all(body["stream"] is True for body in fake.bodies)
    for trace in found:
        assert trace["response"] == f"So it is\n#### {trace['final']}\n"
        sample = trace["sample"]
        assert (sample["finish"], sample["tokens"], sample["logprob"]) == ("stop", 5, -2.5)
    assert len(fake.sent) == 6 and max(fake.sent) < 100  # of 307


def test_a_server_that_does_not_stream_is_cut_alike(work: Workdir) -> None:
    with Fake(answer=rambling) as fake:
        streamed = served(work, fake, "-k", "2", "--stop-at-answer")
    with Fake(answer=rambling, events=None) as fake:
        assert served(work, fake, "-k", "2", "--stop-at-answer") == streamed


def test_without_it_nothing_is_streamed(work: Workdir) -> None:
    with Fake(answer=rambling) as fake:
        (trace, *_) = served(work, fake, "-k", "1")
    assert not any("stream" in body for body in fake.bodies) and len(trace["response"]) > 900


def test_a_stream_that_breaks_off_is_asked_for_again(work: Workdir) -> None:
    """Seen with llama-cpp-python, which breaks off a stream when another request arrives."""

    def broken(response: Json) -> list[bytes]:
        return events_of(response)[:2] if next(number) == 0 else events_of(response)

    number = count()
    with Fake(answer=rambling, events=broken) as fake:
        found = served(work, fake, "-k", "1", "--stop-at-answer")
    assert len(fake.bodies) == 4  # for three draws
    assert all(trace["response"].endswith(f"#### {trace['final']}\n") for trace in found)


def test_draws_of_a_real_server_end_with_their_answer(work: Workdir) -> None:
    prompt = "{problem}\\n#### 3\\nQ: 1+1\\n#### 2\\nQ: 2+2\\n#### "
    args = ("--method", "sample", "-k", "3", "--prompt", prompt, "--max-tokens", "40")
    with llama_server(work.path) as (url, _):
        settings: Any = {"environment": LOOPBACK, "timeout": 200}
        given = ("--server", url, *args)
        long = records(work.run("step-rollout", *given, input=PROBLEMS, **settings))
        short = records(
            work.run("step-rollout", *given, "--stop-at-answer", input=PROBLEMS, **settings)
        )
    for whole, ended in zip(long, short, strict=True):
        assert whole["response"].startswith(ended["response"])
        assert ended["sample"]["tokens"] <= whole["sample"]["tokens"]
        assert ended["sample"]["logprob"] is not None
        if len(ended["response"]) < len(whole["response"]):
            assert answer_is_complete(ended["response"])
            assert extract(ended["response"]) == ended["final"]
