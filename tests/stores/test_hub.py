"""Models of Hugging Face's hub, fetched by the commands from a hub on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from hubs import COMMIT, Hub, Repository
from work import ROOT, Done, Workdir

pytest.importorskip("huggingface_hub")

POLICY = (ROOT / "samples" / "models" / "policy.gguf").read_bytes()
PROBLEM = '{"problem": "Ann has 12 jars and buys 30 more. How many are there?", "answer": "42"}\n'
OTHER = "0123456789" * 4


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one model in three files that differ in their last, unused byte."""
    names = ("toy-Q4_K_M.gguf", "toy-Q8_0.gguf", "sub/toy-BF16.gguf")
    files = {name: POLICY + bytes([number]) for number, name in enumerate(names)}
    files |= {"README.md": b"# toy", "mmproj-Q4_K_M.gguf": POLICY, "toy-imatrix.gguf": POLICY}
    with Hub({"ann/toy": Repository(files)}) as one:
        yield one


def draw(work: Workdir, hub: Hub, model: str, *options: str, **environment: str) -> Done:
    """An attempt drawn from a model."""
    return work.run(
        "step-rollout", "-m", model, "--method", "sample", "-k", "1", "--max-tokens", "8",
        "-t", "1", *options, input=PROBLEM, environment=hub.environment(**environment),
    )  # fmt: skip


def fetch(work: Workdir, hub: Hub, model: str, **environment: str) -> Done:
    """The same fetched for its vocabulary alone, which is loaded in a moment."""
    return work.run(
        "step-pairs", "--check", "trl-dpo", "--tokenizer", model,
        environment=hub.environment(**environment),
    )  # fmt: skip


def blobs(work: Workdir, repository: str = "ann/toy") -> list[str]:
    """The files in the cache, by what they are called."""
    name = f"models--{repository.replace('/', '--')}"
    folder = work.path / ".cache" / "huggingface" / "hub" / name / "blobs"
    return sorted(path.name for path in folder.glob("*"))


def test_the_default_is_fetched_once_and_draws_as_the_file_does(work: Workdir, hub: Hub) -> None:
    first = draw(work, hub, "hf:ann/toy")
    assert first.status == 0, first.err
    assert "fetching hf:ann/toy: toy-Q4_K_M.gguf, 3.25 MB, into" in first.err
    assert [one.path for one in hub.sent_files] == ["/ann/toy/toy-Q4_K_M.gguf"]
    path = work.write("toy-Q4_K_M.gguf", POLICY + b"\0")
    assert draw(work, hub, str(path)).out == first.out
    asked = len(hub.asked)
    again = draw(work, hub, "hf:ann/toy")
    assert (again.out, again.err) == (first.out, "")
    assert len(hub.asked) == asked, "what is in the cache is not asked for"


def test_evidence_carries_the_name_of_the_file_and_no_folder(work: Workdir, hub: Hub) -> None:
    done = draw(work, hub, "hf:ann/toy:BF16")
    assert done.status == 0, done.err
    assert b'"name":"toy-BF16.gguf"' in done.out


@pytest.mark.parametrize(
    ("named", "file"),
    [
        ("hf:ann/toy:Q8_0", "toy-Q8_0.gguf"),
        ("hf:ann/toy:q8_0", "toy-Q8_0.gguf"),
        ("hf:ann/toy:BF16", "sub/toy-BF16.gguf"),
        ("hf:ann/toy:sub/toy-BF16.gguf", "sub/toy-BF16.gguf"),
        ("hf:ann/toy:toy-BF16.gguf", "sub/toy-BF16.gguf"),
        ("hf:ann/toy:Q8_0@main", "toy-Q8_0.gguf"),
        (f"hf:ann/toy:Q8_0@{COMMIT}", "toy-Q8_0.gguf"),
    ],
)
def test_a_file_or_a_quantisation_is_fetched(
    work: Workdir, hub: Hub, named: str, file: str
) -> None:
    done = fetch(work, hub, named)
    assert done.status == 0, done.err
    assert [one.path for one in hub.sent_files] == [f"/ann/toy/{file}"]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("hf:ann/toy:Q5_K_M", "it has no Q5_K_M; there is sub/toy-BF16.gguf, toy-Q4_K_M.gguf, "),
        ("hf:ann/toy:toy.gguf", "it has no such file; there is sub/toy-BF16.gguf"),
        ("hf:ann/toy:mmproj-Q4_K_M.gguf", "mmproj-Q4_K_M.gguf only goes with a model and is none"),
        ("hf:ann/toy@v9", 'has no revision "v9" of it'),
        ("hf:ann/none", "has no such repository, or it is a private one, which needs HF_TOKEN"),
    ],
)
def test_what_the_hub_does_not_have_is_one_line(
    work: Workdir, hub: Hub, named: str, message: str
) -> None:
    done = fetch(work, hub, named)
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith(f"step-pairs: --tokenizer {named}: ")
    assert message in done.err and done.err.count("\n") == 1
    assert hub.sent_files == []


def test_several_files_of_a_quantisation_are_named(work: Workdir, hub: Hub) -> None:
    hub.repositories["ann/toy"].files["UD-Q8_0.gguf"] = POLICY
    done = fetch(work, hub, "hf:ann/toy:Q8_0")
    assert done.status == 2
    assert "several files of Q8_0, and one has to be named: UD-Q8_0.gguf, toy-Q8_0.gguf" in done.err
    assert fetch(work, hub, "hf:ann/toy:UD-Q8_0").status == 0


def test_a_private_repository_takes_the_token_of_the_environment(work: Workdir, hub: Hub) -> None:
    hub.repositories["ann/toy"].token = "hf_secret"
    refused = fetch(work, hub, "hf:ann/toy")
    assert refused.status == 2 and "needs HF_TOKEN" in refused.err
    wrong = fetch(work, hub, "hf:ann/toy", HF_TOKEN="hf_wrong")
    assert wrong.status == 2 and "the token is refused" in wrong.err
    assert fetch(work, hub, "hf:ann/toy", HF_TOKEN="hf_secret").status == 0
    assert {one.authorization for one in hub.sent_files} == {None}, "a token for another server"


def test_a_gated_repository_says_where_its_terms_are(work: Workdir, hub: Hub) -> None:
    hub.repositories["ann/toy"].token = "hf_secret"
    hub.repositories["ann/toy"].gated = True
    done = fetch(work, hub, "hf:ann/toy")
    assert done.status == 2
    assert f"gated: accept its terms at {hub.url}/ann/toy, and give a token" in done.err


def test_a_download_that_breaks_goes_on_within_the_command(work: Workdir, hub: Hub) -> None:
    hub.cut = 1_000_000
    done = fetch(work, hub, "hf:ann/toy")
    assert done.status == 0, done.err
    assert [one.range for one in hub.sent_files] == [None, f"bytes={3 << 18}-"]


def start_slow_fetch(work: Workdir, hub: Hub) -> subprocess.Popen[bytes]:
    """A command whose download stands still after a million bytes."""
    return work.start(
        "step-pairs", "--check", "trl-dpo", "--tokenizer", "hf:ann/toy", stdin=subprocess.PIPE,
        environment=hub.environment(HF_HUB_DOWNLOAD_TIMEOUT="60"),
    )  # fmt: skip


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_fetch_that_is_stopped_goes_on_with_the_next_command(
    work: Workdir, hub: Hub, signum: int
) -> None:
    hub.stall = 3_000_000
    process = start_slow_fetch(work, hub)
    (digest,) = [sha256(POLICY + b"\0").hexdigest()]
    part = work.path / f".cache/huggingface/hub/models--ann--toy/blobs/{digest}.incomplete"
    end = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signum)
    process.communicate(timeout=30)
    hub.release.set()
    assert process.returncode == -signum
    there = part.stat().st_size
    assert 0 < there < len(POLICY)
    done = fetch(work, hub, "hf:ann/toy")
    assert done.status == 0, done.err
    assert hub.sent_files[-1].range == f"bytes={there}-"
    assert "of it left" in done.err
    assert blobs(work) == [digest]


def test_what_was_left_of_another_file_is_fetched_again(work: Workdir, hub: Hub) -> None:
    digest = sha256(POLICY + b"\0").hexdigest()
    folder = work.path / ".cache/huggingface/hub/models--ann--toy/blobs"
    folder.mkdir(parents=True)
    (folder / f"{digest}.incomplete").write_bytes(b"x" * 1000)
    done = fetch(work, hub, "hf:ann/toy")
    assert done.status == 0, done.err
    assert "what was there is damaged; fetching it from its start" in done.err
    assert blobs(work) == [digest]


@pytest.mark.parametrize("left", [1000, len(POLICY)])
def test_a_server_without_ranges_sends_it_all_again(work: Workdir, hub: Hub, left: int) -> None:
    hub.ranges = False
    digest = sha256(POLICY + b"\0").hexdigest()
    folder = work.path / ".cache/huggingface/hub/models--ann--toy/blobs"
    folder.mkdir(parents=True)
    (folder / f"{digest}.incomplete").write_bytes(POLICY[:left])
    done = fetch(work, hub, "hf:ann/toy")
    assert done.status == 0, done.err
    assert blobs(work) == [digest]


def test_damaged_bytes_are_no_model(work: Workdir, hub: Hub) -> None:
    hub.damage = True
    done = fetch(work, hub, "hf:ann/toy")
    assert done.status == 4
    assert "toy-Q4_K_M.gguf: what came is not the hub's file; try again" in done.err
    assert blobs(work) == []


def test_all_parts_of_a_model_are_fetched(work: Workdir, hub: Hub) -> None:
    names = [f"big-Q8_0-0000{part}-of-00003.gguf" for part in (1, 2, 3)]
    files = {name: POLICY + bytes([part]) for part, name in enumerate(names)}
    hub.repositories["ann/big"] = Repository(files)
    done = fetch(work, hub, "hf:ann/big")
    assert done.status == 0, done.err
    assert "big-Q8_0-00001-of-00003.gguf in 3 parts, 9.76 MB" in done.err
    assert sorted(one.path for one in hub.sent_files) == [f"/ann/big/{name}" for name in names]
    assert len(blobs(work, "ann/big")) == 3


def test_a_part_that_the_hub_lacks_is_named(work: Workdir, hub: Hub) -> None:
    hub.repositories["ann/big"] = Repository({"big-00001-of-00002.gguf": POLICY})
    done = fetch(work, hub, "hf:ann/big")
    assert done.status == 2
    assert "its part big-00002-of-00002.gguf is not there" in done.err


def test_the_cache_does_without_a_hub_and_says_so(work: Workdir, hub: Hub) -> None:
    online = fetch(work, hub, "hf:ann/toy:Q8_0")
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    exact = fetch(work, hub, "hf:ann/toy:Q8_0", **gone)
    assert (exact.out, exact.err) == (online.out, "")
    # which file is the default is for the hub to say
    default = fetch(work, hub, "hf:ann/toy", **gone)
    assert (default.status, default.out) == (0, online.out)
    assert "taking toy-Q8_0.gguf from the cache" in default.err and default.err.count("\n") == 1
    offline = fetch(work, hub, "hf:ann/toy", HF_HUB_OFFLINE="1")
    assert (offline.status, offline.out) == (0, online.out)
    assert "HF_HUB_OFFLINE is set; taking toy-Q8_0.gguf from the cache" in offline.err
    assert online.status == 0


@pytest.mark.parametrize("how", ["gone", "broken", "offline"])
def test_a_hub_that_cannot_be_reached_is_one_line(work: Workdir, hub: Hub, how: str) -> None:
    hub.broken = how == "broken"
    more = {"gone": {"HF_ENDPOINT": "http://127.0.0.1:9"}, "offline": {"HF_HUB_OFFLINE": "1"}}
    done = fetch(work, hub, "hf:ann/toy", **more.get(how, {}))
    assert (done.status, done.out) == (4, b"")
    assert done.err.startswith("step-pairs: --tokenizer hf:ann/toy: ") and done.err.count("\n") == 1


def test_a_revision_is_its_own_file(work: Workdir, hub: Hub) -> None:
    repository = hub.repositories["ann/toy"]
    assert fetch(work, hub, "hf:ann/toy").status == 0
    repository.revisions |= {"main": OTHER, "refs/pr/1": OTHER, "v1": COMMIT}
    repository.files["toy-Q4_K_M.gguf"] = POLICY + b"new"
    assert fetch(work, hub, "hf:ann/toy@v1").status == 0
    assert len(hub.sent_files) == 2
    assert len(blobs(work)) == 2
    assert fetch(work, hub, "hf:ann/toy@refs/pr/1").status == 0
    assert len(hub.sent_files) == 2, "the same bytes"


def test_quiet_is_quiet(work: Workdir, hub: Hub) -> None:
    done = draw(work, hub, "hf:ann/toy", "-q")
    assert (done.status, done.err) == (0, "")


def test_a_verifier_is_fetched_too(work: Workdir, hub: Hub) -> None:
    prm = (ROOT / "samples" / "models" / "prm.gguf").read_bytes()
    hub.repositories["ann/prm"] = Repository({"prm.gguf": prm})
    record = '{"problem": "Sum 1 and 2.", "response": "1 + 2 = 3.", "steps": ["1 + 2 = 3."]}\n'
    done = work.run(
        "step-score", "--prm", "hf:ann/prm", "-t", "1", input=record,
        environment=hub.environment(),
    )  # fmt: skip
    assert done.status == 0, done.err
    assert b'"name":"prm.gguf"' in done.out


def test_a_wrong_option_is_found_before_anything_is_fetched(work: Workdir, hub: Hub) -> None:
    done = draw(work, hub, "hf:ann/toy", "--beams", "3")
    assert done.status == 2
    assert hub.asked == []


def test_the_python_interface_fetches_and_warns(work: Workdir, hub: Hub) -> None:
    code = (
        "import stepkit, warnings\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    with stepkit.open_model('hf:ann/toy', threads=1) as model:\n"
        "        (one,) = model.draw(['1 + 2?'], k=1, max_tokens=4)\n"
        "print(one['sample']['sampler']['name'], said[0].message)\n"
    )
    script = work.write("ask.py", code)
    environment = {**os.environ, "HOME": str(work.path), **hub.environment()}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith("toy-Q4_K_M.gguf fetching hf:ann/toy: "), done.stderr


def test_without_huggingface_hub_the_way_to_it_is_said(work: Workdir, hub: Hub) -> None:
    work.write("huggingface_hub.py", "raise ImportError\n")
    path = f"{work.path}:{ROOT}"
    done = fetch(work, hub, "hf:ann/toy", PYTHONPATH=path)
    assert done.status == 2
    assert done.err == (
        "step-pairs: --tokenizer hf:ann/toy: not in the cache, and fetching it needs "
        "huggingface_hub: pip install 'stepkit[hf]'\n"
    )


def test_what_is_in_the_cache_needs_no_huggingface_hub(work: Workdir, hub: Hub) -> None:
    online = fetch(work, hub, "hf:ann/toy")
    work.write("huggingface_hub.py", "raise ImportError\n")
    done = fetch(work, hub, "hf:ann/toy", PYTHONPATH=f"{work.path}:{ROOT}")
    assert (done.status, done.out, done.err) == (0, online.out, "")


def test_a_full_path_of_the_cache_is_taken_from_the_environment(
    work: Workdir, hub: Hub, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    done = fetch(work, hub, "hf:ann/toy", HF_HOME=str(elsewhere))
    assert done.status == 0 and str(elsewhere) in done.err
    assert fetch(work, hub, "hf:ann/toy", HF_HUB_CACHE=str(elsewhere / "hub")).err == ""
