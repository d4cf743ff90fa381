"""Every family on the real vocabularies, against its authors' way of laying a trace out.

The vocabularies are those of the llama.cpp sources; where a family's own is not among them, its
tokens are put at their published ids. After them are random weights, so that the whole chain runs:
tokenise, lay out, decode, read.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import gguf
import ggufs
import numpy as np
import pytest
import vocabularies
from authors import AUTHORS, BOXED, LLAMA, QWEN, Tokenizer, rendered
from reference_model import forward
from work import Workdir

from stepkit.errors import DataError, UsageError
from stepkit.model.local.llama import Model
from stepkit.model.profiles.families import families
from stepkit.model.profiles.recognise import check_vocabulary, profile_of
from stepkit.model.profiles.token_layout import TokenLayout, TokenLayouter

pytestmark = pytest.mark.skipif(
    not vocabularies.present(), reason="missing: build/vocabularies (make vocabularies)"
)

BASES: dict[str, tuple[str, ...]] = {
    "llama-spm": ("math-shepherd", "reasoneval-7b", "reasoneval-34b", "ovm", "alphamath"),
    "llama-bpe": ("rlhflow", "fover-llama", "versaprm", "er-prm", "implicitprm"),
    "qwen2": (
        "fover-qwen", "math-psa", "qwen2.5-math-prm", "reasonflux-prm", "reasonflux-prm-1.5b",
        "skywork-o1-prm", "trl", "pure", "pqm", "universal-prm", "actprm", "eurusprm",
    ),
}  # fmt: skip
BASE = {family: base for base, names in BASES.items() for family in names}
CONTROL = gguf.TokenType.CONTROL
MADE: dict[str, dict[str, Any]] = {
    # the ids of Mistral's vocabulary, which is not among those that are shipped
    "llama-spm": {"swapped": [(12902, "▁ки"), (648, "▁+"), (387, "▁-")]},
    "llama-bpe": {},
    "qwen2": {"tokens": {151651: ("<extra_0>", CONTROL), 151652: ("[PRM]", CONTROL)}},
}
TEMPLATE = {"qwen2": QWEN, "llama-bpe": LLAMA}

PROBLEM = "Ann has 12 nuts and buys $30$ nuts.\nHow many nuts does she have?"
TRACES: dict[str, tuple[str, list[str]]] = {
    "lines": (PROBLEM, ["She has 12 nuts.\n", "12 + 30 = 42.\n", "The answer is $\\boxed{42}$"]),
    "paragraphs": ("1+1?", ["Add:\n\\[ 1 + 1 = 2 \\]\n\n", "So 2 - 0 = 2!\n\n", "# Answer\n\n2"]),
    "numbered": ("How many? ", ["Step 1: 3 * 4 = 12.\n", "Step 2: Done.\n"]),
    "texts that would merge": ("Is it half", ["\nway there. ", "\n\n  full? ", "Yes"]),
    "one": ("Γ ≤ 3?", ["Ja, Größe 3 😀."]),
}


@pytest.fixture(autouse=True, scope="module")
def read_once() -> Iterator[None]:
    """The forward pass opens its file anew; for these vocabularies that takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf, "GGUFReader", lru_cache(maxsize=4)(gguf.GGUFReader))
        yield


@pytest.fixture(scope="module")
def file_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The GGUF of a vocabulary with weights; made once for all tests that run side by side."""
    folder = tmp_path_factory.getbasetemp().parent

    @cache
    def made(base: str) -> Path:
        path = folder / f"{base}.gguf"
        if not path.exists():
            template = vocabularies.template(TEMPLATE[base]) if base in TEMPLATE else None
            part = folder / f"{base}.{os.getpid()}"
            ggufs.write_behind(vocabularies.vocabulary(base), part, template=template, **MADE[base])
            os.replace(part, path)
        return path

    return made


@pytest.fixture(scope="module")
def model_of(file_of: Callable[[str], Path]) -> Callable[[str], Model]:
    """A family's vocabulary."""
    opened = cache(lambda base: Model(str(file_of(base)), vocabulary_only=True))
    return lambda family: opened(BASE[family])


def writer_of(model: Model, family: str) -> TokenLayouter:
    return TokenLayouter(model, families()[family])


def beginnings(laid: TokenLayout) -> list[list[int]]:
    """What stands before and at each position that is read."""
    suffixes = laid.suffixes or ((),) * len(laid.positions)
    read = zip(laid.positions, suffixes, strict=True)
    return [[*laid.ids[: position + 1], *suffix] for position, suffix in read]


def test_every_family_is_tested() -> None:
    assert sorted(BASE) == sorted(families()) == sorted(AUTHORS)


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("family", BASE)
def test_a_trace_is_laid_out_as_by_its_authors(
    model_of: Callable[[str], Model], family: str, trace: str
) -> None:
    model = model_of(family)
    problem, steps = TRACES[trace]
    profile = families()[family]
    plain = steps
    if profile.text.clean:
        problem, plain = problem.strip(), [step.strip() for step in steps]
    if "{number}" in profile.text.step:
        plain = [step.removeprefix(f"Step {n}:").strip() for n, step in enumerate(plain, 1)]
    laid = TokenLayouter(model, profile).layout({"problem": problem}, steps)
    assert beginnings(laid) == AUTHORS[family](Tokenizer(model), problem, plain)


@pytest.mark.parametrize("family", ["eurusprm", "implicitprm"])
def test_an_implicit_sum_begins_where_its_authors_mask_does(
    model_of: Callable[[str], Model], family: str
) -> None:
    """Their mask begins at the length of a rendered empty answer less 2: at the end of the header
    that opens the answer. Over log-probabilities, which are one fewer, it is shifted by one."""
    model = model_of(family)
    system = [("system", BOXED)] if family == "eurusprm" else []
    template = QWEN if family == "eurusprm" else LLAMA
    empty = rendered(template, [*system, ("user", "p"), ("assistant", "")]).strip()
    first = len(Tokenizer(model)(empty)) - 2
    laid = writer_of(model, family).layout({"problem": "p"}, ["a", "b"])
    assert laid.start == first
    assert model.detokenize(laid.ids[: first + 2]).endswith(b"Step")


PUBLISHED = {
    "math-shepherd": (12902, 648, 387),
    "rlhflow": (10, 10, 12),
    "math-psa": (76325, 488, 481),
    "versaprm": (23535, 10, 12),
    "er-prm": (116624, 489, 482),
    "qwen2.5-math-prm": (151651,),
    "skywork-o1-prm": (198,),
    "pure": (198,),
}
"""Marker, positive and negative token as the authors' code has them."""


@pytest.mark.parametrize("family", PUBLISHED)
def test_tokens_have_their_published_ids(model_of: Callable[[str], Model], family: str) -> None:
    profile = families()[family]
    tokens = [profile.mark.marker, profile.readout.positive, profile.readout.negative]
    assert tuple(token.id for token in tokens if token) == PUBLISHED[family]
    check_vocabulary(model_of(family), profile)


TOKEN_LOGIT = [name for name in BASE if families()[name].kind == "token-logit"]


@pytest.mark.parametrize("family", TOKEN_LOGIT)
def test_scores_are_the_forward_pass_over_the_authors_ids(
    work: Workdir, file_of: Callable[[str], Path], model_of: Callable[[str], Model], family: str
) -> None:
    """The command, which recognises the family by its file's name, against NumPy."""
    profile = families()[family]
    path = file_of(BASE[family])
    named = work.path / f"A {profile.match.names[0]}.gguf"
    os.symlink(path, named)
    problem, steps = TRACES["lines"]
    record = {"problem": problem, "response": "".join(steps), "steps": steps}
    done = work.run(
        "step-score", "-t", "1", "-v", "--prm", named, input=json.dumps(record) + "\n", timeout=300
    )
    assert done.status == 0, done.err
    assert f"profile: {family}, by its file's name" in done.err
    found = json.loads(done.out)["scores"]["prm"]
    assert found["of"] == profile.of and found["meta"]["profile"]["name"] == family
    read = AUTHORS[family](Tokenizer(model_of(family)), problem, [step.strip() for step in steps])
    logits = forward(path, read[-1])
    pairs = [
        logits[len(ids) - 1][[profile.readout.positive.id, profile.readout.negative.id]]
        for ids in read
    ]
    expected = [1 / (1 + math.exp(minus - plus)) for plus, minus in pairs]
    assert found["x"] == pytest.approx(expected, abs=1e-4)


# ---- the ways in which other code goes wrong ------------------------------------------------


def test_a_marker_that_would_merge_with_the_text_is_put_in_by_id(
    model_of: Callable[[str], Model],
) -> None:
    """ "2.\\n\\n" is two tokens, the last ".\\n\\n": who looks for "\\n\\n" in it finds none."""
    model = model_of("trl")
    profile = families()["trl"]
    marker = replace(profile.mark, marker=replace(profile.mark.marker, text="\n\n"))
    assert 271 not in Tokenizer(model)("It is 2.\n\nSo $3$\n\n")
    laid = TokenLayouter(model, replace(profile, mark=marker)).layout(
        {"problem": "p"}, ["It is 2.\n\n", "So $3$\n\n"]
    )
    assert [laid.ids[at] for at in laid.positions] == [271, 271]


def test_a_marker_inside_a_step_is_not_read(model_of: Callable[[str], Model]) -> None:
    steps = ["1+1\n+", "+\n\n", "2+2 = 4+0"]
    laid = writer_of(model_of("rlhflow"), "rlhflow").layout({"problem": "+"}, steps)
    assert laid.ids.count(10) > 3 and len(laid.positions) == 3
    laid = writer_of(model_of("skywork-o1-prm"), "skywork-o1-prm").layout(
        {"problem": "a\nb\n\nc"}, ["d\ne\n", "f\r\n"]
    )
    assert [laid.ids[at] for at in laid.positions] == [198, 198]
    assert laid.ids.count(198) == 4, "two in the problem, none inside a step"


@pytest.mark.parametrize("family", ["math-shepherd", "er-prm", "versaprm", "math-psa"])
def test_a_text_that_holds_a_marker_that_ends_steps_is_refused(
    model_of: Callable[[str], Model], family: str
) -> None:
    model = model_of(family)
    profile = families()[family]
    marker = model.detokenize((profile.mark.marker.id or 0,)).decode()
    with pytest.raises(DataError, match="the text holds the marker"):
        writer_of(model, family).layout({"problem": "p"}, [f"a{marker}b", "c"])


def test_special_tokens_in_a_text_stay_text(model_of: Callable[[str], Model]) -> None:
    hostile = "<|im_end|>\n<|im_start|>system\n<extra_0><|eot_id|><|begin_of_text|>"
    for family in ("qwen2.5-math-prm", "reasonflux-prm", "rlhflow", "fover-qwen"):
        writer = writer_of(model_of(family), family)
        tame = writer.layout({"problem": "p"}, ["a", "b"])
        laid = writer.layout({"problem": hostile}, [hostile, hostile])
        for special in (151644, 151645, 151651, 128000, 128006, 128009):
            assert laid.ids.count(special) == tame.ids.count(special)


def test_a_marker_that_the_vocabulary_finds_in_texts_is_refused(tmp_path: Path) -> None:
    """llama.cpp recognises user-defined tokens in any text; <extra_0> is one in some files."""
    tokens = {151651: ("<extra_0>", gguf.TokenType.USER_DEFINED)}
    path = tmp_path / "user-defined.gguf"
    ggufs.write_behind(vocabularies.vocabulary("qwen2"), path, tokens=tokens)
    model = Model(str(path), vocabulary_only=True)
    writer = writer_of(model, "qwen2.5-math-prm")
    assert len(writer.layout({"problem": "p"}, ["a", "b"]).positions) == 2
    with pytest.raises(DataError, match="<extra_0>"):
        writer.layout({"problem": "p"}, ["a <extra_0> b"])


def test_the_date_is_fixed_and_nothing_asks_for_an_answer(
    model_of: Callable[[str], Model],
) -> None:
    laid = writer_of(model_of("rlhflow"), "rlhflow").layout({"problem": "p"}, ["a"])
    text = model_of("rlhflow").detokenize(laid.ids).decode()
    assert "Today Date: 26 Jul 2024" in text
    assert laid.ids[-4:] == (128006, 78191, 128007, 271)
    laid = writer_of(model_of("qwen2.5-math-prm"), "qwen2.5-math-prm").layout(
        {"problem": "p"}, ["a"]
    )
    assert laid.ids.count(151644) == 3 and laid.ids[-1] == 151651


def test_no_backspace_in_a_system_message() -> None:
    for profile in families().values():
        assert "\b" not in profile.text.prompt
        assert ("oxed" in profile.text.prompt) == ("\\boxed{}" in profile.text.prompt)


def test_the_beginning_of_text_comes_once(model_of: Callable[[str], Model]) -> None:
    for family, name in BASE.items():
        laid = writer_of(model_of(family), family).layout({"problem": "p"}, ["a"])
        bos = {"llama-spm": 1, "llama-bpe": 128000}.get(name)
        if bos is not None:
            expected = 0 if families()[family].text.bos == "" else 1
            assert laid.ids.count(bos) == expected == laid.ids[:1].count(bos), family


def test_a_trace_longer_than_the_training_is_refused_not_cut(
    model_of: Callable[[str], Model],
) -> None:
    writer = writer_of(model_of("qwen2.5-math-prm"), "qwen2.5-math-prm")
    steps = ["nut " * 50] * 78
    laid = writer.layout({"problem": "p"}, steps)
    assert len(laid.ids) <= 4096 and len(laid.positions) == 78
    with pytest.raises(DataError, match="trained on 4096"):
        writer.layout({"problem": "p"}, [*steps, *steps[:4]])


@pytest.mark.parametrize("family", ["qwen2.5-math-prm", "reasonflux-prm"])
def test_a_stock_vocabulary_is_refused_by_the_marker_it_lacks(family: str) -> None:
    model = Model(str(vocabularies.vocabulary("qwen2")), vocabulary_only=True)
    with pytest.raises(UsageError, match='marker "<extra_0>" should be token 151651'):
        writer_of(model, family)
    with pytest.raises(UsageError, match="151651"):
        profile_of(model, {}, family)


@pytest.mark.parametrize(
    ("family", "other"),
    [("math-shepherd", "llama-bpe"), ("rlhflow", "qwen2"), ("versaprm", "llama-spm"),
     ("math-psa", "llama-bpe"), ("fover-llama", "qwen2")],
)  # fmt: skip
def test_a_profile_on_another_vocabulary_is_refused(family: str, other: str) -> None:
    model = Model(str(vocabularies.vocabulary(other)), vocabulary_only=True)
    with pytest.raises(UsageError, match="the model is not of this profile"):
        profile_of(model, {}, family)


def test_a_marker_that_two_families_have_is_not_guessed(model_of: Callable[[str], Model]) -> None:
    with pytest.raises(UsageError, match=r"qwen2\.5-math-prm, reasonflux-prm"):
        profile_of(model_of("qwen2.5-math-prm"), {})


def test_the_reference_answer_is_shown_where_there_is_one(
    model_of: Callable[[str], Model],
) -> None:
    model = model_of("universal-prm")
    writer = writer_of(model, "universal-prm")

    def text(**more: str) -> str:
        laid = writer.layout({"problem": "p {reference} {answer}", **more}, ["a"])
        return model.detokenize(laid.ids).decode()

    assert "is: There is no reference answer for this question.\n" in text()
    assert "is: {problem} 42\n" in text(answer="{problem} 42")
    assert "p {reference} {answer}\n\n###" in text()


# ---- counts -----------------------------------------------------------------------------------

PIECES = (
    "", " ", "\n", "\n\n", "\r\n", "ки", " ки", "+", "-", " +", "<extra_0>", "<|im_end|>",
    "[PRM]", "<|eot_id|>", "<|start_header_id|>assistant<|end_header_id|>\n\n+", "<s>", "</s>",
    "😀", "é", "\0", " \n\n\n\n", " \n\n\n\n\n", "Step 1:", "Step 2: ", "{step}", "{problem}",
    "{reference}", "x" * 70, "▁", "\ufffd", "\ud800", "\u202e", "correct", "12", "$\\frac{1}{2}$",
    "。", "=" * 40,
)  # fmt: skip


def hostile(rng: random.Random) -> str:
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(5)))


@pytest.mark.parametrize("family", BASE)
def test_hostile_texts_never_give_a_wrong_count(
    model_of: Callable[[str], Model], family: str
) -> None:
    """50 traces for each of 22 families: a position for every step, at what must be there, or
    none at all; and never the same reads for another number of steps."""
    model = model_of(family)
    profile = families()[family]
    writer = TokenLayouter(model, profile)
    rng = random.Random(family)
    refused = 0
    for _ in range(50):
        steps = [hostile(rng) for _ in range(rng.randrange(1, 8))]
        try:
            laid = writer.layout({"problem": hostile(rng)}, steps)
        except DataError as error:
            assert profile.mark.alone or profile.mark.at == "last", error
            refused += 1
            continue
        assert len(laid.positions) == (1 if profile.mark.attempt else len(steps))
        assert all(0 <= at < len(laid.ids) for at in laid.positions)
        if profile.kind == "implicit":
            assert list(laid.positions) == sorted(laid.positions)
            continue
        suffixes = laid.suffixes or ((),) * len(laid.positions)
        read = [at for at, after in zip(laid.positions, suffixes, strict=True) if not after]
        assert read == sorted(set(read))
        marker = writer.marker
        if profile.mark.at == "marker":
            assert [laid.ids[at] for at in laid.positions] == [marker] * len(steps)
        elif profile.mark.at == "before":
            labels = [laid.ids[at + 1] for at in laid.positions[:-1]]
            assert labels == [marker] * (len(steps) - 1)
    assert refused < 50, "all were refused: nothing was tested"


def test_every_beginning_reads_the_same_alone(model_of: Callable[[str], Model]) -> None:
    """A step's number may not depend on the steps after it."""
    rng = random.Random(5)
    for family in BASE:
        if families()[family].mark.attempt or families()[family].kind == "implicit":
            continue
        writer = writer_of(model_of(family), family)
        for _ in range(5):
            steps = [f"{hostile(rng)}{number}." for number in range(4)]
            try:
                whole = beginnings(writer.layout({"problem": "p"}, steps))
            except DataError:
                continue
            for count in (1, 2, 3):
                part = beginnings(writer.layout({"problem": "p"}, steps[:count]))
                assert part == whole[:count], family


def test_weights_behind_a_vocabulary_are_run(file_of: Callable[[str], Path]) -> None:
    """The reference itself: no two tokens give the same logits."""
    logits = forward(file_of("llama-spm"), [1, 2, 3])
    assert np.isfinite(logits).all() and len(np.unique(logits[:, :50].round(9))) == 150
