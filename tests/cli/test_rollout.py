"""step-rollout on the shipped policy: what it writes, and that it writes it again to the byte."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest
from rollouts import BASE, POLICY, problems, records, rollout
from work import ROOT, Workdir


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Twelve attempts at three problems, split into steps."""
    work = Workdir(tmp_path_factory.mktemp("traces"))
    attempts = rollout(work, problems(3), "--method", "sample", "-k", "4")
    done = work.run("step-split", input=attempts.out)
    assert done.status == 0 and len(done.lines) == 12, done.err
    return done.out


def test_sample_writes_one_trace_a_draw(work: Workdir) -> None:
    source = '{"id":"p9","problem":"How many?","answer":4,"big":18446744073709551617,"x":1.10}\n'
    found = rollout(work, source, "--method", "sample", "-k", "3")
    assert found.out.count(b'"big":18446744073709551617,"x":1.10') == 3
    traces = records(found)
    assert [trace["id"] for trace in traces] == ["p9/0", "p9/1", "p9/2"]
    assert {trace["group"] for trace in traces} == {"p9"}
    for number, trace in enumerate(traces):
        assert trace["sample"]["draw"] == number
        assert trace["sample"]["sampler"]["temperature"] == 1.0
        assert trace["sample"]["finish"] in ("stop", "length")
        assert trace["stepkit"] == 1
    assert len({trace["response"] for trace in traces}) > 1
    assert len({trace["sample"]["seed"] for trace in traces}) == 3


def test_sample_takes_no_step_or_verdict_from_another_response(work: Workdir) -> None:
    old = json.loads(problems(1)) | {
        "response": "old", "steps": ["old"], "labels": {}, "scores": {}, "tree": {}
    }  # fmt: skip
    (trace,) = records(rollout(work, json.dumps(old), "--method", "sample", "-k", "1"))
    assert not {"steps", "labels", "scores", "tree"} & trace.keys()
    assert trace["response"] != "old"


def test_sampled_ids_detokenise_to_the_response(work: Workdir, traces: bytes) -> None:
    from stepkit.model.local.llama import Model

    model = Model(str(POLICY))
    for line in traces.splitlines():
        trace = json.loads(line)
        assert model.detokenize(tuple(trace["sample"]["ids"])) == trace["response"].encode()
    model.close()


def test_chain_keeps_every_draw_in_the_tree(work: Workdir, traces: bytes) -> None:
    for record in records(rollout(work, traces, "-k", "3")):
        tree, steps = record["tree"], record["steps"]
        assert [tree["text"][node] for node in tree["spine"]] == steps
        for prefix in [0, *tree["spine"][:-1]]:
            draws = [
                tree["draw"][node]
                for node, parent in enumerate(tree["parent"])
                if parent == prefix and tree["whole"][node]
            ]
            assert draws == [0, 1, 2]
        for node, finish in enumerate(tree["finish"]):
            if tree["whole"][node]:
                decided = tree["outcome"][node] is not None
                assert decided == (finish == "stop" and tree["final"][node] is not None)
        assert tree["outcome"][tree["spine"][-1]] == (1.0 if record["correct"] else 0.0)
        assert len(tree["samplers"]) == 1


def test_the_last_steps_verdict_is_graded_when_missing(work: Workdir) -> None:
    for answer, verdict in (("42", True), ("41", False)):
        trace = {
            "problem": "p", "answer": answer,
            "response": "so\nAnswer: 42", "steps": ["so\n", "Answer: 42"],
        }  # fmt: skip
        (record,) = records(rollout(work, json.dumps(trace), "-k", "1"))
        assert (record["correct"], record["final"]) == (verdict, "42")


def test_order_and_window_and_slots_change_no_draw(work: Workdir, traces: bytes) -> None:
    plain = rollout(work, traces, "-k", "2")
    assert rollout(work, traces, "-k", "2", "--slots", "9", "--window", "1").out == plain.out
    backwards = b"".join(reversed(traces.splitlines(keepends=True)))
    again = rollout(work, backwards, "-k", "2", "--batch", "64", "-t", "2")
    assert sorted(again.lines) == sorted(plain.lines)


def test_another_seed_is_another_draw(work: Workdir) -> None:
    one = rollout(work, problems(2), "--method", "sample", "-k", "2")
    two = rollout(work, problems(2), "--method", "sample", "-k", "2", "--seed", "2")
    assert [r["response"] for r in records(one)] != [r["response"] for r in records(two)]


def test_top_up_equals_one_larger_run(work: Workdir, traces: bytes) -> None:
    small = rollout(work, traces, "-k", "2")
    topped, whole = rollout(work, small.out, "-k", "4"), rollout(work, traces, "-k", "4")
    for grown, full in zip(records(topped), records(whole), strict=True):
        assert evidence_of(grown["tree"]) == evidence_of(full["tree"])


def evidence_of(tree: dict[str, Any]) -> list[tuple[Any, ...]]:
    columns = ("parent", "draw", "text", "finish", "outcome", "final", "tokens", "logprob")
    rows = zip(*(tree[name] for name in columns), strict=True)
    return sorted(rows, key=repr)


def test_a_finished_file_tops_up_to_itself(work: Workdir, traces: bytes) -> None:
    done = rollout(work, traces, "-k", "2")
    assert rollout(work, done.out, "-k", "2").out == done.out


def test_killed_and_resumed_is_uninterrupted(work: Workdir, traces: bytes) -> None:
    work.write("in.jsonl", traces * 3)
    whole = rollout(work, None, "in.jsonl", "-k", "4", "-o", "whole.jsonl", stdin=None)
    assert whole.status == 0, whole.err
    work.write("a.jsonl", "OLD\n")
    process = work.start("step-rollout", *BASE, "in.jsonl", "-k", "4", "-o", "a.jsonl")
    journal = work.path / "a.jsonl.journal"
    for _ in range(3000):
        if journal.exists() and journal.read_bytes().count(b"\n") > 40:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert work.read("a.jsonl") == b"OLD\n"
    torn = journal.read_bytes()[:-5]
    journal.write_bytes(torn)
    refused = rollout(work, None, "in.jsonl", "-k", "4", "-o", "a.jsonl", stdin=None)
    assert refused.status == 2 and "--resume" in refused.err
    other = rollout(
        work, None, "in.jsonl", "-k", "4", "-o", "a.jsonl", "--resume", "--seed", "7", stdin=None
    )
    assert other.status == 2 and "seed" in other.err and "7" in other.err
    done = rollout(work, None, "in.jsonl", "-k", "4", "-o", "a.jsonl", "--resume", stdin=None)
    assert done.status == 0, done.err
    assert work.read("a.jsonl") == work.read("whole.jsonl")
    assert not journal.exists()


def test_interrupt_ends_it_at_once_by_the_signal(work: Workdir, traces: bytes) -> None:
    work.write("in.jsonl", traces * 20)
    process = work.start("step-rollout", *BASE, "in.jsonl", "-k", "32", "-o", "o.jsonl")
    journal = work.path / "o.jsonl.journal"
    while not (journal.exists() and journal.stat().st_size > 5000):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert b"--resume" in err and b"Traceback" not in err
    assert journal.exists() and not (work.path / "o.jsonl").exists()


def test_dry_run_counts_what_a_run_would_draw(work: Workdir, traces: bytes) -> None:
    steps = [len(json.loads(line)["steps"]) for line in traces.splitlines()]
    done = rollout(work, traces, "-k", "5", "--dry-run")
    (counted,) = records(done)
    assert counted["records"] == 12
    assert counted["draws"] == 5 * sum(steps)
    assert counted["new_tokens_at_most"] == 96 * counted["draws"]
    half = rollout(work, traces, "-k", "3")
    spent = sum(sum(trace["tree"]["tokens"]) for trace in records(half)) * 5 / 3
    assert spent / 2 <= counted["new_tokens"] <= spent * 2
    (missing,) = records(rollout(work, half.out, "-k", "5", "--dry-run"))
    assert missing["draws"] == 2 * sum(steps)


def test_at_continues_from_the_last_good_step(work: Workdir, traces: bytes) -> None:
    line = json.loads(traces.splitlines()[0])
    line["labels"] = {"first": {"of": "validity", "by": "scorer", "first": 1}}
    found = records(rollout(work, json.dumps(line), "--at", "first", "-k", "3"))
    for number, trace in enumerate(found):
        assert trace["response"].startswith(line["steps"][0])
        assert trace["origin"] == {"id": line["id"], "step": 1}
        assert trace["id"] == f"{line['id']}@1/{number}"
        assert trace["group"] == line["group"] and "labels" not in trace
    line["labels"]["first"]["first"] = -1
    text = json.dumps(line)
    assert rollout(work, text, "--at", "first").out == text.encode() + b"\n"


def test_a_redraw_is_not_the_attempt_that_it_replaces(work: Workdir, traces: bytes) -> None:
    """Found in review: from step 0 the redraws were the original attempts again."""
    lines = [json.loads(line) for line in traces.splitlines()[:4]]
    for line in lines:
        line["labels"] = {"first": {"first": 0}}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    seeds = [line["sample"]["seed"] for line in lines]
    redrawn = records(rollout(work, text, "--at", "first", "-k", "4"))
    assert not {trace["sample"]["seed"] for trace in redrawn} & set(seeds)
    assert len({trace["sample"]["seed"] for trace in redrawn}) == len(redrawn) == 16


def test_a_problem_that_comes_again_gets_further_draws(work: Workdir) -> None:
    once = records(rollout(work, problems(1), "--method", "sample", "-k", "4"))
    twice = records(rollout(work, problems(1) * 2, "--method", "sample", "-k", "2"))
    assert twice == once


def test_new_draws_drop_the_labels_of_fewer(work: Workdir, traces: bytes) -> None:
    few = rollout(work, traces.splitlines(keepends=True)[0], "-k", "2")
    labelled = json.loads(work.run("step-label", input=few.out).out)
    labelled["labels"]["gold"] = {"of": "validity", "by": "human", "x": [1]}
    (more,) = records(rollout(work, json.dumps(labelled), "-k", "3"))
    assert list(more["labels"]) == ["gold"]
    (same,) = records(rollout(work, json.dumps(labelled), "-k", "2"))
    assert same["labels"] == labelled["labels"]


def test_stop_strings_end_a_draw(work: Workdir) -> None:
    for trace in records(
        rollout(work, problems(2), "--method", "sample", "-k", "2", "--stop", ".\n")
    ):
        assert "\n" not in trace["response"] and trace["sample"]["finish"] == "stop"


def test_temperature_zero_draws_the_same_every_time(work: Workdir) -> None:
    found = records(rollout(work, problems(1), "--method", "sample", "-k", "3", "-T", "0"))
    assert len({trace["response"] for trace in found}) == 1


def test_a_raw_prompt_and_the_models_template_can_say_the_same(work: Workdir) -> None:
    raw = ("--prompt", "Problem: {problem}\\nSolution:\\n", "-T", "0")
    plain = rollout(work, problems(2), "--method", "sample", "-k", "1", "-T", "0")
    formed = rollout(work, problems(2), "--method", "sample", "-k", "1", *raw)
    assert [r["response"] for r in records(plain)] == [r["response"] for r in records(formed)]


def test_chat_messages_stand_in_for_a_problem(work: Workdir) -> None:
    text = json.loads(problems(1))["problem"]
    chat = {"prompt": [{"role": "user", "content": text}], "answer": "1"}
    one = rollout(work, json.dumps(chat), "--method", "sample", "-k", "1", "-T", "0")
    two = rollout(work, problems(1), "--method", "sample", "-k", "1", "-T", "0")
    assert records(one)[0]["response"] == records(two)[0]["response"]


def test_two_model_commands_in_a_pipe_both_finish(work: Workdir) -> None:
    work.write("p.jsonl", problems(4))
    line = (
        f"step-rollout p.jsonl {' '.join(BASE)} --method sample -k 4 | step-split | "
        f"step-score -t 1 --prm {ROOT}/samples/models/prm.gguf | step-rerank"
    )
    from work import clean_environment

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=work.path, env=clean_environment(work.path), capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.count(b"\n") == 4, done.stderr


BAD = {
    "a problem longer than the context": (
        json.dumps({"problem": "7 " * 900, "answer": "1"}), "--context"),
    "no answer": ('{"problem":"p"}', "answer"),
    "an answer that JSON numbers cannot hold": (
        '{"problem":"p","answer":1208925819614629174706176}', "answer"),
    "a message that is none": (
        '{"prompt":["hi",{"role":"user","content":"p"}],"answer":"1"}', "prompt[0]"),
    "a message of parts": (
        '{"prompt":[{"role":"system","content":[]},{"role":"user","content":"p"}],"answer":"1"}',
        "prompt[0].content"),
    "no problem": ('{"answer":"1"}', "problem"),
    "a response without steps": ('{"problem":"p","answer":"1","response":"x"}', "step-split"),
    "steps that do not join": (
        '{"problem":"p","answer":"1","response":"xy","steps":["x"]}', "steps"),
    "a tree of another trace": (
        '{"problem":"p","answer":"1","response":"x","steps":["x"],"tree":{"parent":[-1],"text":'
        '[""],"whole":[false],"finish":[""],"outcome":[null],"by":[-1],"draw":[-1],"spine":[]}}',
        "tree.spine"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_records_are_one_clear_line(work: Workdir, case: str) -> None:
    text, named = BAD[case]
    done = rollout(work, problems(1) + text + "\n", "-k", "1")
    assert done.status == 3
    assert done.err.startswith("step-rollout: <stdin>:2: ") and done.err.count("\n") == 1
    assert named in done.err
    assert len(done.lines) == 1  # what came before is delivered


def test_rejects_and_the_rest_is_used(work: Workdir) -> None:
    text = problems(1) + BAD["no answer"][0] + "\n" + problems(1, 1)
    done = rollout(work, text, "-k", "1", "--rejects", "bad.jsonl")
    assert (done.status, len(done.lines)) == (1, 2)
    assert json.loads(work.read("bad.jsonl"))["line"] == 2


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("-m", "README.md"), "not a GGUF file"),
        (("-m", "missing.gguf"), "missing.gguf"),
        ((*BASE, "--slots", "4"), "--slots"),
        ((*BASE, "-t", "99999"), "--threads"),
        ((*BASE, "--at", "x", "--method", "chain"), "--at"),
        ((*BASE, "--dry-run", "-o", "x"), "--dry-run"),
        ((*BASE, "--prompt", "no place"), "{problem}"),
        ((*BASE, "--resume"), "--resume"),
        ((*BASE, "-T", "nan"), "--temperature"),
        ((*BASE, "--method", "magic"), "magic"),
        ((*BASE, "--grammar", str(POLICY)), f"--grammar {POLICY}: not UTF-8"),
        ((*BASE, "--until", "never"), "first-success"),
        ((*BASE, "--until", "wilson:width=1"), "half"),
        ((*BASE, "--until", "hard:value=2"), "between 0 and 1"),
        ((*BASE, "--until", "hard", "-k", "3"), "-k"),
        ((*BASE, "--method", "bisect", "--until", "wilson"), "posterior"),
        ((*BASE, "--budget", "draws=9", "--dry-run"), "--dry-run"),
        ((*BASE, "--method", "bisect", "--searches", "3"), "--searches"),
        ((*BASE, "--method", "omega", "--by", "regex:pattern=("), "--by"),
        (("--method", "chain"), "-m"),
    ],
)
def test_usage_errors_come_before_any_input(
    work: Workdir, args: tuple[str, ...], named: str
) -> None:
    work.write("README.md", "# no model\n")
    done = work.run("step-rollout", *args, input=problems(1))
    assert done.status == 2 and named in done.err, done.err
    assert done.err.count("\n") == 1 and done.out == b""


def test_tokens_are_kept_when_asked(work: Workdir, traces: bytes) -> None:
    for trace in records(
        rollout(work, problems(2), "--method", "sample", "-k", "2", "--keep-tokens")
    ):
        about = trace["sample"]
        assert sum(about["token_bytes"]) == len(trace["response"].encode())
        assert len(about["token_bytes"]) == len(about["token_logprob"]) == about["tokens"]
        assert sum(about["token_logprob"]) == pytest.approx(about["logprob"], abs=1e-2)
    few = traces.splitlines(keepends=True)[0]
    (trace,) = records(rollout(work, few, "-k", "2", "--keep-tokens"))
    tree = trace["tree"]
    assert len(tree["ids"]) == len(tree["token_logprob"]) == sum(tree["tokens"])
    begin = 0
    for length, logprob in zip(tree["tokens"], tree["logprob"], strict=True):
        own = tree["token_logprob"][begin : begin + length]
        assert logprob is None or sum(own) == pytest.approx(logprob, abs=1e-2)
        begin += length


@pytest.mark.parametrize("method", ["chain"])
def test_an_option_of_another_method_is_refused_by_name(work: Workdir, method: str) -> None:
    done = work.run("step-rollout", *BASE, "--method", method, "--at", "x", input=problems(1))
    assert done.status == 2 and "--at has no effect with --method chain" in done.err
    assert "--method sample" in done.err


ADAPTIVE = (
    ("--until", "first-success"),
    ("--until", "wilson:half=0.25"),
    ("--method", "bisect"),
    ("--method", "bisect", "--until", "posterior", "-k", "8"),
)


@pytest.mark.parametrize("args", ADAPTIVE, ids=lambda args: " ".join(args))
def test_a_dry_run_tells_what_an_adaptive_method_takes_within_a_factor_of_two(
    work: Workdir, traces: bytes, args: tuple[str, ...]
) -> None:
    (estimate,) = records(rollout(work, traces, *args, "--dry-run"))
    trees = [trace["tree"] for trace in records(rollout(work, traces, *args, timeout=300))]
    draws = sum(by >= 0 for tree in trees for by in tree["by"])
    tokens = sum(sum(tree["tokens"]) for tree in trees)
    assert draws / 2 <= estimate["draws"] <= draws * 2
    assert tokens / 2 <= estimate["new_tokens"] <= tokens * 2


def test_a_dry_run_without_anything_to_go_by_does_not_guess_lengths(work: Workdir) -> None:
    (estimate,) = records(rollout(work, problems(3), "-k", "2", "--dry-run"))
    assert (estimate["draws"], estimate["new_tokens"]) == (6, None)


@pytest.mark.parametrize("method", ["bisect", "omega"])
def test_a_search_killed_at_any_byte_goes_on_to_the_same_file(
    work: Workdir, traces: bytes, method: str
) -> None:
    """The journal cut off anywhere is what a kill leaves; the resumed file is the whole one."""
    work.write("in.jsonl", b"".join(traces.splitlines(keepends=True)[:4]))
    args = ("in.jsonl", "--method", method, "-k", "4", "-o", "a.jsonl")
    whole = rollout(work, None, *args, "--journal", "whole.journal", stdin=None)
    assert whole.status == 0, whole.err
    expected = work.read("a.jsonl")
    held = work.killed("a.jsonl.journal", 1500, "step-rollout", *BASE, *args)
    for size in {len(held), len(held) - 7, len(held) // 2, len(held) // 3}:
        work.write("a.jsonl.journal", held[:size])
        done = rollout(work, None, *args, "--resume", stdin=None)
        assert done.status == 0, done.err
        assert work.read("a.jsonl") == expected


def test_a_grammar_that_is_not_utf_8_is_a_usage_error(work: Workdir) -> None:
    work.write("g.gbnf", b'root ::= "\xff"\n')
    done = rollout(work, problems(1), "--method", "sample", "--grammar", "g.gbnf")
    assert done.status == 2 and "--grammar g.gbnf: not UTF-8" in done.err


def test_two_provers_draw_from_the_same_prefixes(work: Workdir, traces: bytes) -> None:
    """Another sampler's draws stand next to the first one's, each with its own rule."""
    few = b"".join(traces.splitlines(keepends=True)[:2])
    one = rollout(work, few, "-k", "2")
    two = rollout(work, one.out, "--until", "first-success", "-k", "3", "-T", "0.5")
    for before, after in zip(records(one), records(two), strict=True):
        tree = after["tree"]
        assert [sampler["temperature"] for sampler in tree["samplers"]] == [1.0, 0.5]
        size = len(before["tree"]["parent"])
        assert [tree["text"][n] for n in range(size)] == before["tree"]["text"]
        assert tree["by"][size:] == [1] * (len(tree["by"]) - size)
        assert tree["rule"][0].startswith("@1 first-success:most=3")
