"""step-head and step-score --head: what a checkpoint's head says, and never anything else."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

import gguf
import ggufs
import numpy as np
import pytest
from checkpoints import OUTPUTS, PROFILES, WIDTH, head_by_hand, head_tensors, write_checkpoint
from reference_model import hidden_states
from work import ROOT, Done, Workdir

TRACE: dict[str, Any] = {
    "id": "a",
    "problem": "Ann has 12 nuts and buys 30 nuts. How many nuts does she have?",
    "steps": ["12 + 30 = 42.\n", "So she <|step|> has\n", "", "Answer: 42"],
}
TRACE["response"] = "".join(TRACE["steps"])


def kind_of(name: str) -> str:
    return str(PROFILES[name]["head"])


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ggufs.write_llama(tmp_path_factory.mktemp("head") / "backbone.gguf", vocabulary=300)


def checkpoint(work: Workdir, name: str, kind: str = "BF16") -> dict[str, np.ndarray]:
    tensors = head_tensors(kind_of(name), WIDTH, OUTPUTS[name])
    write_checkpoint(work.path / "model.safetensors", tensors, kind)
    work.write("profile.json", json.dumps(PROFILES[name]))
    return tensors


def run(work: Workdir, *args: str | Path, status: int = 0) -> Done:
    done = work.run("step-head", *args)
    assert done.status == status and "Traceback" not in done.err, done.err
    return done


def score(work: Workdir, *args: str | Path, record: Any = TRACE, status: int = 0) -> Done:
    done = work.run("step-score", "-t", "1", *args, input=json.dumps(record) + "\n")
    assert done.status == status and "Traceback" not in done.err, done.err
    return done


def x(done: Done) -> list[float]:
    found: list[float] = json.loads(done.out)["scores"]["prm"]["x"]
    return found


def laid_out(path: Path, name: str) -> list[list[int]]:
    """By hand: the ids up to and with the token that is read, for each step."""
    from stepkit.model.local.llama import Model

    model = Model(str(path), vocabulary_only=True)
    special = model.special_tokens()
    ids = list(model.tokenize(TRACE["problem"] + " "))
    found = []
    for step in TRACE["steps"]:
        ids += model.tokenize(step)
        if name == "value":
            found.append([*ids, special["<|end|>"]])
        else:
            ids.append(special["<|step|>"])
            found.append(list(ids))
    model.close()
    return found


def by_hand(path: Path, name: str, tensors: dict[str, np.ndarray]) -> list[float]:
    states = np.array([hidden_states(path, ids)[-1] for ids in laid_out(path, name)])
    outputs = head_by_hand(kind_of(name), tensors, states)
    shares = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    maps = {
        "softmax": lambda: shares[:, PROFILES[name].get("good", [0])].sum(1),
        "sigmoid": lambda: (1 / (1 + np.exp(-outputs))).mean(1),
        "tanh": lambda: np.tanh(outputs[:, 0]),
        "raw": lambda: outputs[:, 0],
    }
    return maps[PROFILES[name]["map"]]().tolist()


# -- the numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_scores_are_the_head_on_the_models_own_states(
    work: Workdir, backbone: Path, name: str
) -> None:
    tensors = checkpoint(work, name)
    run(work, ".", "--profile", "profile.json", "-o", "head.safetensors")
    found = x(score(work, "--prm", backbone, "--head", "head.safetensors"))
    assert found == pytest.approx(by_hand(backbone, name, tensors), abs=1e-4)


@pytest.mark.parametrize("tied", [False, True], ids=["own", "tied"])
@pytest.mark.parametrize("name", ["linear", "three", "gain", "value"])
def test_a_grafted_head_is_the_head_beside_the_model(work: Workdir, name: str, tied: bool) -> None:
    backbone = ggufs.write_llama(work.path / "b.gguf", vocabulary=300, tied=tied)
    checkpoint(work, name)
    run(work, ".", "--profile", "profile.json", "-o", "head.safetensors")
    rows = ",".join(str(270 + n) for n in range(OUTPUTS[name]))
    graft = ("--graft", backbone, "--profile", "profile.json", "--rows", rows)
    run(work, ".", *graft, "-o", "prm.gguf")
    with_head = x(score(work, "--prm", backbone, "--head", "head.safetensors"))
    grafted = x(score(work, "--prm", "prm.gguf"))
    assert grafted == pytest.approx(with_head, abs=1e-5) and len(set(with_head)) > 1


def test_everything_else_of_a_backbone_stays_byte_for_byte(work: Workdir, backbone: Path) -> None:
    checkpoint(work, "three")
    rows = (270, 272, 271)
    chosen_rows = ",".join(map(str, rows))
    run(
        work,
        ".",
        "--graft",
        backbone,
        "--profile",
        "profile.json",
        "--rows",
        chosen_rows,
        "-o",
        "p.gguf",
    )
    before, after = gguf.GGUFReader(str(backbone)), gguf.GGUFReader(str(work.path / "p.gguf"))
    was = {t.name: t for t in before.tensors}
    now = {t.name: t for t in after.tensors}
    assert was.keys() == now.keys()
    for name, tensor in was.items():
        assert tensor.tensor_type == now[name].tensor_type
        if name != "output.weight":
            assert tensor.data.tobytes() == now[name].data.tobytes()
    kept = [row for row in range(300) if row not in rows]
    assert (was["output.weight"].data[kept] == now["output.weight"].data[kept]).all()
    fields = {n: f.contents() for n, f in before.fields.items() if not n.startswith("GGUF.")}
    others = {n: f.contents() for n, f in after.fields.items() if not n.startswith("GGUF.")}
    profile = json.loads(others.pop("stepkit.profile"))
    assert fields == others
    assert profile["rows"] == list(rows) and profile["kind"] == "grafted"
    assert len(profile["bias"]) == 3


def test_a_quantised_output_matrix_is_widened(work: Workdir, backbone: Path) -> None:
    small = ggufs.write_llama(work.path / "b.gguf", width=256, hidden=256, vocabulary=300)
    quantised = ggufs.quantized(small, work.path / "q.gguf", "Q8_0")
    write_checkpoint(work.path / "model.safetensors", head_tensors("linear", 256, 1))
    work.write("profile.json", json.dumps(PROFILES["linear"]))
    graft = (".", "--graft", quantised, "--profile", "profile.json", "--rows", "290")
    run(work, ".", "--profile", "profile.json", "-o", "h.safetensors")
    with_head = x(score(work, "--prm", quantised, "--head", "h.safetensors"))
    for options, kind in (((), "F16"), (("--wide",), "F32")):
        run(work, *graft, *options, "-o", "g.gguf")
        reader = gguf.GGUFReader(str(work.path / "g.gguf"))
        kinds = {t.name: t.tensor_type.name for t in reader.tensors}
        assert kinds["output.weight"] == kind and kinds["token_embd.weight"] == "Q8_0"
        tolerance = 1e-5 if kind == "F32" else 1e-3
        assert x(score(work, "--prm", "g.gguf")) == pytest.approx(with_head, abs=tolerance)


def test_unused_tokens_are_given_up_first(work: Workdir) -> None:
    backbone = ggufs.write_llama(work.path / "b.gguf", spare=4)
    checkpoint(work, "three")
    done = run(work, ".", "--graft", backbone, "--profile", "profile.json", "-o", "p.gguf")
    assert "rows 264, 265, 266" in done.err


# -- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["BF16", "F16", "F32"])
def test_number_types_are_read_exactly(work: Workdir, kind: str) -> None:
    from stepkit.model.heads.safetensors import open_checkpoint

    tensors = checkpoint(work, "mlp", kind)
    read = open_checkpoint(str(work.path))
    for name, array in tensors.items():
        expected = array.astype(np.float16).astype(np.float32) if kind == "F16" else array
        assert (read[name].read() == expected).all()


def test_only_the_part_with_the_head_has_to_be_there(work: Workdir, backbone: Path) -> None:
    tensors = head_tensors("mlp", WIDTH, 2)
    write_checkpoint(work.path / "model-2.safetensors", tensors)
    placed = {name: "model-2.safetensors" for name in tensors}
    placed["model.embed_tokens.weight"] = "model-1.safetensors"
    work.write("model.safetensors.index.json", json.dumps({"weight_map": placed}))
    run(work, ".", "-o", "head.safetensors")
    profile = work.write("profile.json", json.dumps(PROFILES["mlp"]))
    assert profile.exists()
    write_checkpoint(work.path / "model.safetensors", tensors)
    run(work, "model.safetensors", "-o", "other.safetensors")
    assert work.read("head.safetensors") == work.read("other.safetensors")


def test_a_side_car_can_be_read_by_the_published_reader(work: Workdir) -> None:
    import safetensors.numpy

    tensors = checkpoint(work, "mlp")
    run(work, ".", "-o", "head.safetensors")
    read = safetensors.numpy.load_file(str(work.path / "head.safetensors"))
    assert (read["0.weight"] == tensors["score.0.weight"]).all()


def test_a_head_under_another_name_has_to_be_named(work: Workdir) -> None:
    tensors = {f"my.{n}": a for n, a in head_tensors("linear", WIDTH, 1).items()}
    write_checkpoint(work.path / "c.safetensors", tensors)
    done = run(work, "c.safetensors", "-o", "h.safetensors", status=2)
    assert "my.v_head.summary.bias" in done.err and "--tensors" in done.err
    run(work, "c.safetensors", "--tensors", "my.v_head.summary", "-o", "h.safetensors")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "cut off"),
        (b"\xff" * 64, "cut off"),
        (b"\x04\0\0\0\0\0\0\0nope", "no JSON"),
        (b"\x02\0\0\0\0\0\0\0[]", "damaged"),
        (b'\x15\0\0\0\0\0\0\0{"a":{"dtype":"F32"}}', "damaged"),
    ],
)
def test_a_damaged_checkpoint_is_a_usage_error(work: Workdir, content: bytes, named: str) -> None:
    work.write("model.safetensors", content)
    done = run(work, "model.safetensors", "-o", "h.safetensors", status=2)
    assert named in done.err and done.err.count("\n") == 1


def test_a_tensor_that_is_cut_off_is_named(work: Workdir) -> None:
    checkpoint(work, "mlp")
    work.write("cut.safetensors", work.read("model.safetensors")[:-3])
    done = run(work, "cut.safetensors", "-o", "h.safetensors", status=2)
    assert "score.2.bias" in done.err and "h.safetensors" not in work.names()


# -- never a score from a missing head -----------------------------------------------------------


def test_a_head_that_is_missing_is_asked_for(work: Workdir) -> None:
    path = ggufs.write_llama(work.path / "b.gguf", profile=json.dumps(PROFILES["mlp"]))
    assert "--head" in score(work, "--prm", path, status=2).err


def test_a_head_of_another_width_is_refused(work: Workdir, backbone: Path) -> None:
    write_checkpoint(work.path / "model.safetensors", head_tensors("linear", 128, 1))
    work.write("profile.json", json.dumps(PROFILES["linear"]))
    run(work, ".", "--profile", "profile.json", "-o", "h.safetensors")
    done = score(work, "--prm", backbone, "--head", "h.safetensors", status=2)
    assert "128" in done.err and "64" in done.err
    graft = ("--graft", backbone, "--profile", "profile.json", "--rows", "290")
    assert "128" in run(work, ".", *graft, "-o", "g.gguf", status=2).err
    assert "g.gguf" not in work.names() and "g.gguf.part" not in work.names()


def test_a_head_for_one_backbone_is_refused_by_another(work: Workdir, backbone: Path) -> None:
    """Of the same width and vocabulary, so that nothing else would tell."""
    tensors = checkpoint(work, "linear")
    bound = (".", "--profile", "profile.json", "--backbone", backbone)
    run(work, *bound, "-o", "bound.safetensors")
    run(work, *bound[:3], "-o", "free.safetensors")
    found = score(work, "--prm", backbone, "--head", "bound.safetensors")
    assert x(found) == pytest.approx(by_hand(backbone, "linear", tensors), abs=1e-4)
    assert found.out == score(work, "--prm", backbone, "--head", "free.safetensors").out
    other = ggufs.write_llama(work.path / "other.gguf", vocabulary=300, seed=1)
    done = score(work, "--prm", other, "--head", "bound.safetensors", status=2)
    assert "--backbone" in done.err and done.err.count("\n") == 1
    score(work, "--prm", other, "--head", "free.safetensors")


def test_a_head_that_does_not_fit_its_backbone_is_not_written(
    work: Workdir, backbone: Path
) -> None:
    write_checkpoint(work.path / "model.safetensors", head_tensors("linear", 128, 1))
    done = run(work, ".", "--backbone", backbone, "-o", "h.safetensors", status=2)
    assert "128" in done.err and "64" in done.err and done.err.count("\n") == 1
    assert "h.safetensors" not in work.names()


def test_a_head_of_other_outputs_than_the_profile_reads_is_refused(
    work: Workdir, backbone: Path
) -> None:
    checkpoint(work, "three")
    run(work, ".", "-o", "h.safetensors")
    path = ggufs.write_llama(work.path / "b.gguf", profile=json.dumps(PROFILES["linear"]))
    done = score(work, "--prm", path, "--head", "h.safetensors", status=2)
    assert "3 outputs" in done.err
    assert "outputs" in run(
        work, ".", "--profile", _other(work), "-o", "i.safetensors", status=2
    ).err  # fmt: skip


def _other(work: Workdir) -> Path:
    return work.write("other.json", json.dumps(PROFILES["linear"]))


def test_what_a_head_beside_the_model_cannot_be(work: Workdir, backbone: Path) -> None:
    checkpoint(work, "mlp")
    prm = ROOT / "samples" / "models" / "prm.gguf"
    run(work, ".", "-o", "h.safetensors")
    assert "token-logit" in score(work, "--prm", prm, "--head", "h.safetensors", status=2).err
    whole = ("--prm", backbone, "--head", "model.safetensors")
    assert "step-head" in score(work, *whole, status=2).err
    assert "--prm" in score(work, "-m", prm, "--head", "h.safetensors", status=2).err


def test_a_head_that_is_not_linear_cannot_be_grafted(work: Workdir, backbone: Path) -> None:
    checkpoint(work, "mlp")
    graft = ("--graft", backbone, "--profile", "profile.json", "--rows", "290,291")
    assert "not linear" in run(work, ".", *graft, "-o", "g.gguf", status=2).err


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--rows", "1"), "--graft"),
        (("--wide",), "--graft"),
        (("--graft", "b.gguf"), "--profile"),
        (("--graft", "b.gguf", "--backbone", "b.gguf"), "leave out --backbone"),
        (("--backbone", "profile.json"), "profile.json"),
        (("--graft", "b.gguf", "--profile", "profile.json", "--rows", "1,1,1"), "--rows"),
        (("--graft", "b.gguf", "--profile", "profile.json", "--rows", "1,2,300"), "--rows"),
        (("--graft", "b.gguf", "--profile", "profile.json"), "--rows"),
        (("--profile", "b.gguf"), "not UTF-8"),
    ],
)
def test_usage(work: Workdir, backbone: Path, args: tuple[str, ...], named: str) -> None:
    (work.path / "b.gguf").write_bytes(backbone.read_bytes())
    checkpoint(work, "three")
    done = run(work, ".", *args, "-o", "out", status=2)
    assert named in done.err and done.err.count("\n") == 1
    assert "out" not in work.names() and "out.part" not in work.names()


def test_the_output_never_replaces_a_file_of_the_checkpoint(work: Workdir) -> None:
    checkpoint(work, "linear")
    before = work.read("model.safetensors")
    for given in (".", "model.safetensors"):
        done = run(work, given, "-o", "model.safetensors", status=2)
        assert done.err == (
            "step-head: -o model.safetensors: is also an input; write to another file\n"
        )
    assert work.read("model.safetensors") == before


def test_a_device_is_never_replaced(work: Workdir) -> None:
    checkpoint(work, "linear")
    os.mkfifo(work.path / "pipe")
    for name in ("pipe", "-", "."):
        done = run(work, "model.safetensors", "-o", name, status=2)
        assert done.err == f"step-head: -o {name}: expected the name of a file\n"
    assert work.names() == ["model.safetensors", "pipe", "profile.json"]
    assert stat.S_ISFIFO((work.path / "pipe").stat().st_mode)


def test_nan_in_a_head_is_an_error_of_the_record(work: Workdir, backbone: Path) -> None:
    tensors = head_tensors("linear", WIDTH, 1)
    tensors["v_head.summary.bias"][:] = math.nan
    write_checkpoint(work.path / "model.safetensors", tensors, "F32")
    work.write("profile.json", json.dumps(PROFILES["linear"]))
    run(work, ".", "--profile", "profile.json", "-o", "h.safetensors")
    done = score(work, "--prm", backbone, "--head", "h.safetensors", status=3)
    assert "finite" in done.err
