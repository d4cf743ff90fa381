"""Files next to the rows: dataset_info.json and Parquet."""

from __future__ import annotations

import json

import evidence
import pytest
from work import Workdir

from stepkit.cli.actions import side_files
from stepkit.errors import UsageError
from stepkit.runner.settings import StreamOptions


def streams(work: Workdir, name: str) -> StreamOptions:
    return StreamOptions("step-pairs", ("-",), str(work.path / name))


def test_an_entry_is_added_to_those_that_are_there(work: Workdir) -> None:
    other = {"file_name": "other.json", "note": "blé"}
    work.write("dataset_info.json", json.dumps({"other": other}))
    work.write("dpo.jsonl", "{}\n")
    out = streams(work, "dpo.jsonl")
    side_files.check("llamafactory", out.output)
    side_files.write(out, "llamafactory", "pair")
    info = json.loads(work.read("dataset_info.json"))
    assert info["other"] == other and list(info) == ["other", "dpo"]
    assert info["dpo"]["file_name"] == "dpo.jsonl"
    assert work.names() == ["dataset_info.json", "dpo.jsonl"]


def test_an_entry_of_the_same_file_is_replaced(work: Workdir) -> None:
    work.write("dpo.jsonl", "{}\n")
    for kind in ("pair", "unpaired"):
        side_files.write(streams(work, "dpo.jsonl"), "llamafactory", kind)
    info = json.loads(work.read("dataset_info.json"))
    assert list(info) == ["dpo"] and info["dpo"]["ranking"] is False


@pytest.mark.parametrize("content, part", [("[]", "expected an object"), ("{", "not JSON")])
def test_a_dataset_info_that_is_none_is_left_as_it_is(
    work: Workdir, content: str, part: str
) -> None:
    work.write("dataset_info.json", content)
    with pytest.raises(UsageError, match=part):
        side_files.check("llamafactory", str(work.path / "dpo.jsonl"))
    assert work.read("dataset_info.json") == content.encode()


@pytest.mark.parametrize("target", ["llamafactory", "verl"])
@pytest.mark.parametrize("output", ["-", "/dev/null"])
def test_no_file_beside_what_is_no_file(target: str, output: str) -> None:
    with pytest.raises(UsageError, match="name them with -o"):
        side_files.check(target, output)
    side_files.check("trl-dpo", output)


def test_names_that_the_trainer_would_not_read(work: Workdir) -> None:
    with pytest.raises(UsageError, match=r"end in \.jsonl"):
        side_files.check("llamafactory", str(work.path / "dpo.jsonl.gz"))
    pytest.importorskip("pyarrow")
    with pytest.raises(UsageError, match="is made next to them"):
        side_files.check("verl", str(work.path / "dpo.parquet"))


def test_rows_never_replace_the_list_of_files(work: Workdir) -> None:
    work.write("dataset_info.json", "{}")
    output = str(work.path / "dataset_info.json")
    with pytest.raises(UsageError, match="name another"):
        side_files.check("llamafactory", output)


def test_parquet_is_made_of_the_finished_rows(work: Workdir) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"prompt": f"{n}?", "chosen": "a", "rejected": "b", "gap": 0.5} for n in range(5)]
    work.write("rm.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    side_files.check("verl", str(work.path / "rm.jsonl"))
    side_files.write(streams(work, "rm.jsonl"), "verl", "pair")
    assert work.names() == ["rm.jsonl", "rm.parquet"]
    assert parquet.read_table(work.path / "rm.parquet").to_pylist() == rows


def test_without_rows_there_is_no_parquet(work: Workdir) -> None:
    pytest.importorskip("pyarrow")
    work.write("rm.jsonl", "")
    side_files.write(streams(work, "rm.jsonl"), "verl", "pair")
    assert work.names() == ["rm.jsonl"]


def test_the_command_writes_the_entry_and_the_parquet(work: Workdir) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    traces = evidence.lines(3)
    done = work.run("step-pairs", "--to", "llamafactory", "-o", "dpo.jsonl", input=traces)
    assert (done.status, done.err) == (0, "")
    info = json.loads(work.read("dataset_info.json"))
    assert info["dpo"]["ranking"] is True and info["dpo"]["file_name"] == "dpo.jsonl"
    done = work.run("step-pairs", "--to", "verl", "-o", "rm.jsonl", input=traces)
    assert (done.status, done.err) == (0, "")
    rows = [json.loads(line) for line in work.read("rm.jsonl").splitlines()]
    assert rows and parquet.read_table(work.path / "rm.parquet").to_pylist() == rows


@pytest.mark.parametrize("target", ["llamafactory", "verl"])
def test_the_command_refuses_standard_output_before_it_reads(work: Workdir, target: str) -> None:
    done = work.run("step-pairs", "--to", target, input=b"{bad")
    assert (done.status, done.out) == (2, b"")
    assert done.err.count("\n") == 1 and "name them with -o" in done.err


@pytest.mark.parametrize(
    "options, part",
    [
        (["--to", "trl-dpo", "--scope", "step"], "teach the model to stop after a step"),
        (["--conversational", "--scope", "continuation"], "use --scope full"),
        (["--to", "trl-prm", "--conversational"], "has no chats"),
    ],
)
def test_published_damages_are_refused_before_anything_is_read(
    work: Workdir, options: list[str], part: str
) -> None:
    done = work.run("step-pairs", *options, input=b"{bad")
    assert (done.status, done.out) == (2, b"")
    assert done.err.count("\n") == 1 and part in done.err
