"""--server, through the installed commands: a real server, and one that fails on demand.

What the failing server is asked is counted: a retry too few or too many is a failure here. Times
are only ever bounded generously.
"""

from __future__ import annotations

import json
import math
import signal
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from servers import POLICY, Fake, Reply, completion, llama_server, logprob_of, pieces_of
from work import ROOT, Done, Workdir

from stepkit.schema import Json

FORM = ("--prompt", "{problem}\\n")
LOOPBACK = {"NO_PROXY": "*"}


def problems(count: int) -> str:
    rows = [{"id": f"p{n}", "problem": f"How much is {n}?", "answer": "4"} for n in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def rollout(work: Workdir, text: str | bytes, *args: str, **more: Any) -> Done:
    more["environment"] = LOOPBACK | more.get("environment", {})
    done = work.run("step-rollout", *args, input=text, timeout=200, **more)
    assert "Traceback" not in done.err and "internal error" not in done.err
    return done


def sample(work: Workdir, text: str, *args: str, **more: Any) -> Done:
    return rollout(work, text, "--method", "sample", *FORM, *args, **more)


def records(done: Done) -> list[Json]:
    assert done.status == 0, done.err
    return [json.loads(line) for line in done.lines]


def failing(reply: Reply, times: int) -> Any:
    """Give ``reply`` to the first ``times`` requests for draws."""
    return lambda number, body: reply if number < times else None


def down(first: int, reply: Reply) -> Any:
    """Give ``reply`` to all requests of a kind from number ``first`` on."""
    return lambda number, body: None if number < first else reply


# ---- what is asked and what becomes of it ---------------------------------------------------


def test_a_draw_is_asked_for_in_full(work: Workdir) -> None:
    with Fake() as fake:
        args = ("-k", "3", "-T", "0.7", "--top-p", "0.9", "--max-tokens", "9", "--stop", "\\n\\n")
        found = records(sample(work, problems(2), "--server", fake.url, *args))
    assert len(fake.bodies) == 6
    assert {body["prompt"] for body in fake.bodies} == {"How much is 0?\n", "How much is 1?\n"}
    for body in fake.bodies:
        seed = body.pop("seed")
        assert type(seed) is int and 1 <= seed < 2**31
        assert body.items() >= {"model": "toy-1", "temperature": 0.7, "top_p": 0.9}.items()
        assert (body["max_tokens"], body["stop"], body["logprobs"]) == (9, ["\n\n"], 1)
        # nothing that somebody's server may not know, and no n: each draw has its own seed
        assert not body.keys() & {"n", "top_k", "min_p", "echo", "stream"}
    assert [trace["id"] for trace in found] == ["p0/0", "p0/1", "p0/2", "p1/0", "p1/1", "p1/2"]
    for trace in found:
        about = trace["sample"]
        asked = {"prompt": f"{trace['problem']}\n", "seed": about["seed"] % (2**31 - 1) + 1}
        pieces = pieces_of(asked)
        assert trace["response"] == "".join(pieces)
        assert trace["correct"] == (pieces[-1] == "4.")
        assert (about["finish"], about["tokens"]) == ("stop", 7)
        assert about["logprob"] == pytest.approx(sum(map(logprob_of, pieces)))
        assert about["sampler"]["model"] == about["sampler"]["name"] == "toy-1"
        assert about["sampler"]["server"] == "other" and about["sampler"]["context"] is None
        assert "127.0.0.1" not in json.dumps(trace)


@pytest.mark.parametrize(
    ("owner", "kind", "sent"),
    [
        ("vllm", "vLLM", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("sglang", "SGLang", {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}),
        ("me", "llama-cpp-python", {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}),
        (
            "llamacpp",
            "llama.cpp",
            {"repeat_penalty": 1.0, "samplers": ["temperature", "top_k", "top_p", "min_p"]},
        ),
        ("someone", "other", {}),
    ],
)
def test_a_servers_own_defaults_do_not_shape_draws(
    work: Workdir, owner: str, kind: str, sent: Json
) -> None:
    with Fake(owner=owner) as fake:
        (trace,) = records(sample(work, problems(1), "--server", fake.url, "-k", "1"))
    assert trace["sample"]["sampler"]["server"] == kind
    assert fake.bodies[0].items() >= sent.items()


def test_what_is_recorded_does_not_tell_where_it_was_drawn(work: Workdir) -> None:
    outputs = []
    for model in ("/data/a/toy.gguf", "toy.gguf", "elsewhere/toy.gguf"):
        with Fake(model=model) as fake:
            outputs.append(sample(work, problems(2), "--server", fake.url, "-k", "2").out)
            assert {body["model"] for body in fake.bodies} == {model}
    assert outputs[0] and outputs[0] == outputs[1] == outputs[2]


def test_chain_draws_from_every_prefix(work: Workdir) -> None:
    trace = {
        "problem": "How much?",
        "answer": "4",
        "response": "a\nb\nc",
        "steps": ["a\n", "b\n", "c"],
    }
    with Fake() as fake:
        (found,) = records(rollout(work, json.dumps(trace), *FORM, "--server", fake.url, "-k", "2"))
    asked = sorted(body["prompt"] for body in fake.bodies)
    assert asked == sorted(["How much?\n", "How much?\na\n", "How much?\na\nb\n"] * 2)
    tree = found["tree"]
    for node in range(4, len(tree["parent"])):
        assert tree["text"][node].startswith("So it is\nThe answer is ")
        assert (tree["tokens"][node], tree["by"][node]) == (7, 0)
    # the finished record has all of it: nothing is asked again
    with Fake() as other:
        again = rollout(work, json.dumps(found), *FORM, "--server", other.url, "-k", "2")
        assert (records(again), other.bodies) == ([found], [])


def test_a_server_without_logprobs_is_asked_without(work: Workdir) -> None:
    refusal = Reply(500, b'{"error": {"message": "logprobs is not supported"}}')
    with Fake(probed=lambda number, body: refusal if "logprobs" in body else None) as fake:
        (trace,) = records(sample(work, problems(1), "--server", fake.url, "-k", "1"))
    assert len(fake.probes) == 2 and "logprobs" not in fake.bodies[0]
    assert (trace["sample"]["logprob"], trace["sample"]["tokens"]) == (None, 7)


def test_token_ids_where_the_server_takes_them(work: Workdir) -> None:
    from stepkit.model.local.llama import Model

    policy = Model(str(POLICY), vocabulary_only=True)

    def answer(body: Json) -> Json:
        usage = {"prompt_tokens": len(policy.tokenize("What is 12 + 30?\n"))}
        good = completion(body)
        return good | {"usage": good["usage"] | usage}

    args = ("--method", "sample", "-m", str(POLICY), "-k", "1")
    with Fake(answer=answer) as fake:
        (trace,) = records(rollout(work, problems(1), *args, "--server", fake.url))
    expected = policy.tokenize("Problem: How much is 0?\nSolution:\n")
    assert tuple(fake.bodies[0]["prompt"]) == expected
    taken = trace["sample"]["sampler"]["vocabulary"]
    refusal = Reply(422, b'{"detail": "prompt: Input should be a valid string"}')
    with Fake(
        answer=answer,
        probed=lambda number, body: refusal if isinstance(body["prompt"], list) else None,
    ) as fake:
        (trace,) = records(rollout(work, problems(1), *args, "--server", fake.url))
    assert fake.bodies[0]["prompt"] == "Problem: How much is 0?\nSolution:\n"
    assert trace["sample"]["sampler"]["vocabulary"] != taken
    with Fake() as fake:  # it counts 3 tokens
        done = rollout(work, problems(1), *args, "--server", fake.url)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "its vocabulary is not that of" in done.err


def test_a_template_file(work: Workdir) -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}>"
    )
    work.write("chat.jinja", source)
    work.write("tokenizer_config.json", json.dumps({"chat_template": source, "bos_token": "<s>"}))
    for name in ("chat.jinja", "tokenizer_config.json"):
        with Fake() as fake:
            args = ("--method", "sample", "-k", "1", "--server", fake.url, "--template", name)
            done = rollout(work, problems(1), *args, "--system", "Be brief.")
            assert records(done)
        # who is sent text puts the beginning-of-text token first itself
        assert fake.bodies[0]["prompt"] == "<system>Be brief.<user>How much is 0?>"


# ---- failures -------------------------------------------------------------------------------


def test_retry_after_is_honoured(work: Workdir) -> None:
    reply = Reply(429, b'{"error": {"message": "slow down"}}', {"Retry-After": "2"})
    with Fake(failing(reply, 2)) as fake:
        done = sample(work, problems(1), "--server", fake.url, "-k", "3", "--concurrency", "1")
        assert len(records(done)) == 3
        assert len(fake.bodies) == 3 + 2
        pauses = [b - a for a, b in zip(fake.times, fake.times[1:], strict=False)]
    assert pauses[0] >= 1.99 and pauses[1] >= 1.99


def test_a_long_wait_is_told(work: Workdir) -> None:
    reply = Reply(429, b'{"error": "quota"}', {"Retry-After": "3600"})
    with Fake(lambda number, body: reply) as one, Fake() as two:
        urls = ("--server", one.url, "--server", two.url)
        done = sample(work, problems(2), *urls, "-k", "4")
        assert len(records(done)) == 8
    message = f"{one.url}/v1: asks to wait 3600 s: HTTP 429: quota"
    assert done.err == f"step-rollout: {message}\n"


PAGE = b"<html><head><title>502 Bad\nGateway</title></head><body><h1>nginx</h1></body></html>"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500, b"oops"),
        Reply(502, PAGE),
        Reply(503, b'{"error": {"message": "Loading model"}}'),
        Reply(200, json.dumps(completion({"prompt": "x", "max_tokens": 9, "model": "m"})).encode(),
              how="cut"),
        Reply(200, b'{"choices": [{"tex'),
        Reply(200, PAGE),
        Reply(200, b'{"choices": []}'),
        Reply(200, b'{"choices": [{"text": "", "finish_reason": "abort"}]}'),
        Reply(how="hang"),
    ],
    ids=["500", "502", "503", "cut", "torn", "page", "empty", "abort", "hang"],
)  # fmt: skip
def test_a_failure_is_tried_again(work: Workdir, reply: Reply) -> None:
    with Fake() as fake:
        args = ("-k", "2", "--concurrency", "1", "--timeout", "3" if reply.how == "hang" else "60")
        good = sample(work, problems(2), "--server", fake.url, *args)
    with Fake(failing(reply, 2)) as fake:
        done = sample(work, problems(2), "--server", fake.url, *args)
        assert len(fake.bodies) == 4 + 2
    assert (done.status, done.err, done.out) == (0, "", good.out)


def test_what_fails_together_is_one_failure(work: Workdir) -> None:
    """Thirty-two requests in flight at a server that breaks down are not thirty-two failures."""
    seen: set[int] = set()

    def behave(number: int, body: Json) -> Reply | None:
        first = body["seed"] not in seen
        seen.add(body["seed"])
        return Reply(500, b"oops") if first else None

    with Fake(behave, delay=0.3) as fake:
        args = ("-k", "16", "--concurrency", "16", "--retries", "2")
        assert len(records(sample(work, problems(1), "--server", fake.url, *args))) == 16
    assert len(fake.bodies) == 32


def test_a_dead_server_ends_the_run(work: Workdir) -> None:
    with Fake(down(0, Reply(503, PAGE)), probed=down(1, Reply(503, PAGE))) as fake:
        args = ("-k", "4", "--concurrency", "1", "--retries", "3", "-o", "out")
        done = sample(work, problems(1), "--server", fake.url, *args)
        # after the first failure it is a small request that shows whether it works again
        assert (len(fake.bodies), len(fake.probes)) == (1, 1 + 2)
    assert (done.status, done.out, work.names()) == (4, b"", [])
    assert done.err == (
        f"step-rollout: no server is left: {fake.url}/v1: HTTP 503: 502 Bad Gateway\n"
    )


def test_draws_survive_a_dead_server(work: Workdir) -> None:
    with Fake(down(5, Reply(500)), probed=down(1, Reply(500))) as fake:
        args = ("-k", "4", "--concurrency", "1", "--retries", "2", "-o", "out")
        done = sample(work, problems(2), "--server", fake.url, *args)
    assert (done.status, done.err.count("\n"), len(fake.bodies)) == (4, 1, 6)
    with Fake() as fake:
        again = ("--server", fake.url, "-k", "4", "-o", "out")
        assert sample(work, problems(2), *again).status == 2
        assert sample(work, problems(2), *again, "--resume").status == 0
        assert len(fake.bodies) == 8 - 5
        fresh = sample(work, problems(2), "--server", fake.url, "-k", "4")
    assert (work.read("out"), work.names()) == (fresh.out, ["out"])


def test_one_that_cannot_be_drawn_is_its_records_error(work: Workdir) -> None:
    def behave(number: int, body: Json) -> Reply | None:
        return Reply(500, b"poison") if "is 1?" in body["prompt"] else None

    with Fake(behave) as fake:
        args = ("-k", "2", "--concurrency", "2", "--retries", "3", "--on-error", "skip")
        done = sample(work, problems(9), "--server", fake.url, *args)
    assert done.status == 1
    assert len(done.lines) == 16 and b'"p1"' not in done.out
    assert sum("is 1?" in body["prompt"] for body in fake.bodies) == 2 * 3


def test_a_prompt_that_is_too_long_is_a_bad_record(work: Workdir) -> None:
    message = "This model's maximum context length is 10 tokens"
    reply = Reply(400, json.dumps({"error": {"message": message}}).encode())
    with Fake(lambda number, body: reply if "is 1?" in body["prompt"] else None) as fake:
        done = sample(work, problems(3), "--server", fake.url, "-k", "1")
        assert (done.status, len(done.lines)) == (3, 1)
        assert done.err == f"step-rollout: <stdin>:2: the server refuses it: HTTP 400: {message}\n"
        assert sum("is 1?" in body["prompt"] for body in fake.bodies) == 1


def test_servers_with_different_models_are_refused(work: Workdir) -> None:
    with Fake() as one, Fake(model="toy-2") as two:
        done = sample(work, problems(1), "--server", one.url, "--server", two.url)
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert "serves toy-1 (other), but" in done.err and "toy-2" in done.err
        done = sample(work, problems(1), "--server", one.url, "--served", "toy-9")
        assert (done.status, done.err.count("\n")) == (2, 1)
        assert "has no such model; it serves toy-1" in done.err
        assert one.bodies == two.bodies == []


def test_a_model_that_is_gone_later_drops_the_server(work: Workdir) -> None:
    gone = Reply(404, b'{"error": {"message": "The model `toy-1` does not exist."}}')
    with Fake(lambda number, body: gone) as one, Fake() as two:
        urls = ("--server", one.url, "--server", two.url)
        done = sample(work, problems(2), *urls, "-k", "2", "--concurrency", "1")
        assert len(records(done)) == 4 and len(one.bodies) == 1 and len(two.bodies) == 4
    message = f"{one.url}/v1: given up: HTTP 404: The model `toy-1` does not exist.; 1 left"
    assert done.err == f"step-rollout: {message}\n"


def test_two_servers_share_the_work_and_one_dies(work: Workdir) -> None:
    with Fake() as fake:
        alone = sample(work, problems(10), "--server", fake.url, "-k", "4")
    with Fake(delay=0.02) as one, Fake(delay=0.02) as two:
        urls = ("--server", one.url, "--server", two.url)
        args = ("-k", "4", "--concurrency", "6", "--retries", "2")
        both = sample(work, problems(10), *urls, *args)
        assert (both.status, both.err, both.out) == (0, "", alone.out)
        assert len(one.bodies) + len(two.bodies) == 40
        assert min(len(one.bodies), len(two.bodies)) >= 10
        assert max(one.most_in_flight, two.most_in_flight) <= 4
        one.delay = two.delay = 0.05
        process = work.start("step-rollout", "--method", "sample", *FORM, *urls, *args, "-k", "40",
                             "in", environment=LOOPBACK)  # fmt: skip
        work.write("in", problems(10))
        before = len(one.bodies)
        while len(one.bodies) < before + 9:
            time.sleep(0.005)
        one.stop()
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert out.count(b"\n") == 400
    assert err.decode() == f"step-rollout: {one.url}/v1: given up: connection refused; 1 left\n"
    with Fake() as fake:
        assert out == sample(work, problems(10), "--server", fake.url, "-k", "40").out


def test_a_server_that_is_not_there_is_left_out(work: Workdir) -> None:
    with Fake() as gone:
        pass
    with Fake() as fake:
        done = sample(work, problems(1), "--server", gone.url, "--server", fake.url, "-k", "2")
        assert len(records(done)) == 2
        assert done.err == f"step-rollout: {gone.url}/v1: connection refused; left out\n"
    done = sample(work, problems(1), "--server", gone.url)
    message = f"no server can be used: {gone.url}/v1: connection refused"
    assert (done.status, done.err) == (4, f"step-rollout: {message}\n")


# ---- keys, interrupts, options --------------------------------------------------------------


def test_a_key_is_sent_and_never_told(work: Workdir) -> None:
    key = "sk-very-secret-0123456789"
    refusal = Reply(401, json.dumps({"error": {"message": f"Incorrect API key: {key}"}}).encode())
    keys = {"STEPKIT_API_KEY": key, "OPENAI_API_KEY": "sk-for-openai"}
    with Fake(lambda number, body: refusal if number >= 3 else None) as fake:
        args = ("--server", fake.url, "-k", "4", "--concurrency", "1", "-v", "-o", "out")
        done = sample(work, problems(2), *args, environment=keys)
        assert fake.keys == {f"Bearer {key}"}
        assert (done.status, len(fake.bodies)) == (4, 4)
    assert "Incorrect API key: ***" in done.err and "secret" not in done.err
    assert b"secret" not in work.read("out.journal") and b"127.0.0.1" not in work.read(
        "out.journal"
    )
    # nor by halves, where a long answer is cut
    page = Reply(200, b"x" * 290 + key.encode())
    with Fake(down(0, page), probed=down(1, page)) as fake:
        done = sample(work, problems(1), "--server", fake.url, "--retries", "1", environment=keys)
    assert done.status == 4 and "sk-" not in done.err and "xx***" in done.err
    with Fake(lambda number, body: Reply(401, b"{}")) as fake:
        done = sample(
            work, problems(1), "--server", fake.url, environment={**keys, "STEPKIT_API_KEY": ""}
        )
        assert fake.keys == {None}
    assert "the key is taken from STEPKIT_API_KEY" in done.err


@pytest.mark.parametrize("stage", ["probe", "draw"])
def test_ctrl_c_while_a_server_is_silent(work: Workdir, stage: str) -> None:
    hang = Reply(how="hang")
    behave: Any = {"draw": lambda number, body: hang}.get(stage, lambda number, body: None)
    with Fake(behave, probed=lambda number, body: hang if stage == "probe" else None) as fake:
        work.write("in", problems(3))
        process = work.start("step-rollout", "--method", "sample", *FORM, "--server", fake.url,
                             "in", environment=LOOPBACK)  # fmt: skip
        while not (fake.probes if stage == "probe" else fake.bodies):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (-signal.SIGINT, b"")
        assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give -m FILE, a model to run here, or --server URL"),
        (("--server", "ftp://x"), "--server ftp://x: expected a URL like http://localhost:8000"),
        (("--server", "http://u:hush@x"), "the key is in STEPKIT_API_KEY"),
        (("--server", "http://x", "-t", "2", *FORM), "--threads is for a model that runs here"),
        (("--server", "http://x", "-c", "99", *FORM), "--context is for a model that runs here"),
        (("--server", "http://x", "--fast", *FORM), "--fast is for a model that runs here"),
        (
            ("--server", "http://x", "--repetition-penalty", "2", *FORM),
            "--repetition-penalty is for a model that runs here",
        ),
        (("--server", "http://x", "--logit-bias", "5=1", *FORM), "--logit-bias is for"),
        (("-m", str(POLICY), "--timeout", "2"), "--timeout goes with --server"),
        (("-m", str(POLICY), "--served", "x"), "--served goes with --server"),
        (("--server", "http://x"), "say how a problem is laid out by --template FILE"),
        (("--server", "http://x", "--template", "no.jinja"), "no.jinja: no such file"),
        (("--server", "http://x", "--template", "t", *FORM), "--prompt and --template exclude"),
    ],
)
def test_options_that_make_no_sense(work: Workdir, args: tuple[str, ...], message: str) -> None:
    done = rollout(work, problems(1), *args)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert message in done.err and "hush" not in done.err


# ---- reading --------------------------------------------------------------------------------

TRACE = {"id": "t", "problem": "How?", "response": "é 1\n22 33\n", "steps": ["é 1\n22", " 33\n"]}


def score(work: Workdir, *args: str) -> Done:
    text = json.dumps(TRACE, ensure_ascii=False)
    return work.run("step-score", *FORM, *args, input=text, environment=LOOPBACK, timeout=200)


def test_scores_by_a_server_that_reads(work: Workdir) -> None:
    with Fake() as fake:
        (trace,) = records(score(work, "--server", fake.url))
    # its tokens are "How?\n", "é ", "1\n", "22 " and "33\n"; each counts where it begins
    scores = trace["scores"]["logprob"]
    assert fake.bodies[0]["prompt"] == "How?\né 1\n22 33\n"
    assert scores["x"] == [-0.5 * (3 + 2 + 3) / 3, -0.5 * 3]
    assert scores["total"] == -0.5 * (3 + 2 + 3 + 3) / 4
    assert (scores["meta"]["model"], scores["meta"]["server"]) == ("toy-1", "other")


def test_perplexity_by_a_server_that_reads(work: Workdir) -> None:
    with Fake() as fake:
        (trace,) = records(score(work, "--server", fake.url, "--by", "perplexity"))
    means = [0.5 * (3 + 2 + 3) / 3, 0.5 * 3]
    found = trace["scores"]["perplexity"]
    assert found["x"] == pytest.approx([-math.exp(mean) for mean in means])


def test_a_server_that_does_not_really_read_is_refused(work: Workdir) -> None:
    def deaf(body: Json) -> Json:
        return completion({**body, "echo": False})

    def shifted(body: Json) -> Json:
        """As llama-cpp-python does it where there is no beginning-of-text token."""
        answer = completion(body)
        if body.get("echo"):
            values = answer["choices"][0]["logprobs"]["token_logprobs"]
            values[:] = [*values[1:], -7.0]
        return answer

    for answer in (deaf, shifted):
        with Fake(answer=answer) as fake:
            done = score(work, "--server", fake.url)
        assert (done.status, done.err.count("\n"), fake.bodies) == (2, 1, [])
        assert "does not give the log-probabilities of a text that it reads" in done.err


# ---- the real one ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The URL of llama-cpp-python's server with the sample policy; it gives log-probabilities."""
    with llama_server(tmp_path_factory.mktemp("server"), "--logits_all", "true") as (url, _):
        yield url


BASE = ("-m", str(POLICY), "--max-tokens", "96")


def real_problems(count: int) -> str:
    lines = (ROOT / "samples" / "problems.jsonl").read_text().splitlines()
    return "".join(line + "\n" for line in lines[:count])


def test_a_real_server_draws_what_the_engine_here_draws(work: Workdir, real: str) -> None:
    """The most probable tokens are the same: so prompt, template and stop are laid out alike."""
    args = ("--method", "sample", "-k", "1", "-T", "0", *BASE)
    there = records(rollout(work, real_problems(4), *args, "--server", real))
    here = records(rollout(work, real_problems(4), *args, "-t", "1"))
    for one, two in zip(there, here, strict=True):
        assert one["response"] == two["response"]
        assert one["correct"] == two["correct"]
        assert one["sample"]["tokens"] == two["sample"]["tokens"]
        assert one["sample"]["logprob"] == pytest.approx(two["sample"]["logprob"], abs=0.05)


def test_a_real_servers_logprobs_are_those_of_the_model(work: Workdir, real: str) -> None:
    args = ("--method", "sample", "-k", "3", *BASE, "--server", real)
    drawn = rollout(work, real_problems(3), *args)
    split = work.run("step-split", input=drawn.out)
    scored = work.run("step-score", "-m", POLICY, "-t", "1", input=split.out)
    for trace in records(scored):
        total = trace["scores"]["logprob"]["total"] * trace["sample"]["tokens"]
        assert trace["sample"]["logprob"] == pytest.approx(total, abs=0.2)
    assert len({trace["response"] for trace in records(drawn)}) > 3


def test_chain_on_a_real_server_resumes_after_kill(work: Workdir, real: str) -> None:
    lines = (ROOT / "samples" / "traces.jsonl").read_text().splitlines()[:6]
    work.write("in", work.run("step-split", input="\n".join(lines) + "\n").out)
    args = ("in", "-k", "2", *BASE, "--server", real, "-o", "out")
    process = work.start("step-rollout", *args, environment=LOOPBACK)
    journal = work.path / "out.journal"
    while process.poll() is None and not (
        journal.exists() and journal.read_bytes().count(b"\n") > 7
    ):
        time.sleep(0.005)
    process.kill()
    process.communicate()
    kept = [json.loads(line) for line in journal.read_bytes().splitlines()[2:-1]]
    assert len(kept) >= 5
    done = rollout(work, b"", *args, "--resume")
    assert (done.status, work.names()) == (0, ["in", "out"])
    traces = [json.loads(line) for line in work.read("out").splitlines()]
    assert len(traces) == 6
    texts = set()
    for trace in traces:
        tree = trace["tree"]
        drawn = [node for node, by in enumerate(tree["by"]) if by == 0]
        assert len(drawn) == 2 * len(trace["steps"])
        assert {tree["finish"][node] for node in drawn} <= {"stop", "length"}
        texts |= {tree["text"][node] for node in drawn}
    assert {row["v"]["text"] for row in kept} <= texts


def test_two_real_servers_one_killed_in_the_middle(work: Workdir, real: str) -> None:
    work.write("in", real_problems(40))
    with llama_server(work.path, "--logits_all", "true") as (url, server):
        args = (
            "in",
            "--method",
            "sample",
            "-k",
            "2",
            *BASE,
            "--retries",
            "2",
            "--concurrency",
            "4",
        )
        process = work.start("step-rollout", *args, "--server", url, "--server", real, "-o", "out",
                             environment=LOOPBACK)  # fmt: skip
        journal = work.path / "out.journal"
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 8):
            assert process.poll() is None
            time.sleep(0.005)
        server.kill()
        _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    traces = [json.loads(line) for line in work.read("out").splitlines()]
    assert [trace["id"] for trace in traces] == [f"p{n}/{k}" for n in range(1, 41) for k in (0, 1)]
    assert {trace["sample"]["finish"] for trace in traces} <= {"stop", "length"}
    assert err.count(b"\n") == 1 and url.encode() in err and b"1 left" in err


def test_a_real_server_reads_right_or_is_refused(work: Workdir, real: str, tmp_path: Path) -> None:
    """Without a beginning-of-text token its numbers are shifted by one; with it they are right."""
    text = real_problems(1)
    drawn = rollout(work, text, "--method", "sample", "-k", "2", *BASE, "-t", "1")
    split = work.run("step-split", input=drawn.out).out
    form = ("--prompt", "Problem: {problem}\\nSolution:\\n")
    refused = work.run("step-score", *form, "--server", real, input=split, environment=LOOPBACK)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    options = ("--logits_all", "true", "--kv_overrides", "tokenizer.ggml.add_bos_token=bool:true")
    with llama_server(tmp_path, *options) as (url, _):
        done = work.run("step-score", *form, "--server", url, input=split, environment=LOOPBACK)
    for trace in records(done):
        expected = _read_behind_bos(trace)
        assert trace["scores"]["logprob"]["x"] == pytest.approx(expected, abs=0.02)


def _read_behind_bos(trace: Json) -> list[float]:
    """The mean log-probability of each step, read here with the token put first."""
    from stepkit.model.backend import open_engine
    from stepkit.model.chat import PromptEncoder, fill
    from stepkit.model.engine import Read, Readout
    from stepkit.model.local.context_sizes import for_drawing
    from stepkit.model.local.llama import Model
    from stepkit.runner.options import ModelOptions

    model = Model(str(POLICY))
    form = fill("Problem: {problem}\nSolution:\n", problem=trace["problem"])
    bos = model.special_tokens()[model.bos_text]
    prompt = (bos, *PromptEncoder(model).plain(form))
    ids = prompt + model.tokenize(trace["response"])
    engine = open_engine(model, for_drawing(model, ModelOptions(None, slots=8, context=512), 0))
    engine.submit(Read("r", ids, tuple(range(len(prompt) - 1, len(ids) - 1))))
    finished = engine.step()
    while not finished:
        finished = engine.step()
    engine.close()
    assert isinstance(finished[0].result, Readout)
    values = [row[0] for row in finished[0].result.values]
    starts = [0, *accumulate(len(model.pieces[token]) for token in ids[len(prompt) :])]
    ends = list(accumulate(len(step.encode()) for step in trace["steps"]))
    means = []
    for begin, end in zip([0, *ends], ends, strict=False):
        own = [v for start, v in zip(starts, values, strict=False) if begin <= start < end]
        means.append(sum(own) / len(own))
    return means
