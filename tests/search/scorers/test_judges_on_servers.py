"""step-score --judge over a server: what it can tell, and what it cannot."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import POLICY, Fake, completion, llama_server
from work import Done, Workdir

from stepkit.schema import Json

LOOPBACK = {"NO_PROXY": "*"}
TRACE: Json = {
    "id": "a",
    "problem": "Ann has 12 nuts and buys 30. How many are they?",
    "response": "12 + 30 = 42.\nAnswer: 42",
    "steps": ["12 + 30 = 42.\n", "Answer: 42"],
}
FORM = ("--prompt", "<{problem}>")


def judged(work: Workdir, url: str, how: str, *args: str | Path) -> Done:
    done = work.run(
        "step-score",
        *("--server", url, "--judge", how, *args),
        input=json.dumps(TRACE) + "\n",
        environment=LOOPBACK,
        timeout=300,
    )
    assert "Traceback" not in done.err
    return done


def entry(done: Done, how: str) -> Json:
    assert done.status == 0, done.err
    return json.loads(done.out)["scores"][how]


@contextmanager
def saying(text: str = "Yes", listed: Any = None, finish: str = "stop") -> Iterator[Fake]:
    """A server that says ``text``, and lists the tokens ``listed`` with their probabilities."""

    def answer(body: Json) -> Json:
        made = completion(body)
        if "logprobs" not in body or "seed" not in body:
            return made
        choice = made["choices"][0]
        choice["text"], choice["finish_reason"] = text, finish
        choice["logprobs"] = {"tokens": [text], "token_logprobs": [-0.1]}
        if listed is not None:
            tops = {token: math.log(chance) for token, chance in listed.items()}
            choice["logprobs"]["top_logprobs"] = [tops]
        return made

    with Fake(answer=answer) as fake:
        yield fake


def test_a_choice_is_read_from_the_tokens_that_a_server_lists(work: Workdir) -> None:
    with saying(listed={"Yes": 0.3, " yes": 0.1, "No": 0.1, "Hm": 0.4}) as fake:
        found = entry(judged(work, fake.url, "choice", *FORM), "choice")
    assert found["x"] == pytest.approx([0.8, 0.8])
    assert {body["max_tokens"] for body in fake.bodies} == {1}
    assert {body["logprobs"] for body in fake.bodies} == {5}
    assert all("\n\nProblem:\nAnn has" in body["prompt"] for body in fake.bodies)


def test_a_choice_that_a_server_does_not_list_is_null(work: Workdir) -> None:
    with saying(listed={"Hm": 0.9}) as fake:
        assert entry(judged(work, fake.url, "choice", *FORM), "choice")["x"] == [None, None]


def test_a_server_without_probabilities_is_refused(work: Workdir) -> None:
    def silent(body: Json) -> Json:
        made = completion(body)
        made["choices"][0]["logprobs"] = None
        return made

    with Fake(answer=silent) as fake:
        done = judged(work, fake.url, "choice", *FORM)
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert "log-probabilities" in done.err and not fake.bodies
        # a critique needs none
        assert judged(work, fake.url, "critique", *FORM).status == 0


def test_a_server_that_lists_no_tokens_is_an_error(work: Workdir) -> None:
    with saying(listed=None) as fake:
        done = judged(work, fake.url, "choice", *FORM, "--retries", "2")
    assert (done.status, done.err.count("\n")) == (3, 1)
    assert "does not list the most probable tokens" in done.err


def test_a_critique_from_a_server_is_read_strictly(work: Workdir) -> None:
    text = "Let me see.\nStep 1: sums up\nVerdict 1: correct\nStep 2: so\nVerdict 2: right!\n"
    with saying(text) as fake:
        found = entry(judged(work, fake.url, "critique", *FORM, "-k", "3"), "critique")
        assert len({body["seed"] for body in fake.bodies}) == 3
    assert found["x"] == [1.0, None] and found["undecided"] == [0, 3]
    assert found["why"] == ["sums up", "a verdict of another form in the critique"]


def test_a_real_server_chooses_as_the_model_here(work: Workdir, tmp_path: Path) -> None:
    """The sample policy expects digits: so digits are the answers that it lists."""
    form = work.write("form", "{problem}{given}{step}")
    words = ("--judge-prompt", form, "--good", "1", "--bad", "2")
    local = work.run(
        *("step-score", "-m", POLICY, "-t", "1", "--judge", "choice", *words),
        input=json.dumps(TRACE) + "\n",
    )
    with llama_server(tmp_path, "--logits_all", "true") as (url, _):
        there = entry(judged(work, url, "choice", "-m", POLICY, *words), "choice")
        thought = judged(work, url, "thinkprm", "-m", POLICY, "--max-tokens", "8")
        assert len(entry(thought, "thinkprm")["x"]) == 2
        written = judged(work, url, "critique", "-m", POLICY, "--max-tokens", "8")
        assert entry(written, "critique")["x"] == [None, None]
    assert there["x"] == pytest.approx(entry(local, "choice")["x"], abs=0.02)
    assert there["meta"]["server"] == "llama-cpp-python"
