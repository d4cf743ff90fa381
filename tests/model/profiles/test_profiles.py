"""Profiles: what a file of one may say, how a model's own is recognised, what --explain shows."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import ggufs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import ROOT, Done, Workdir

from stepkit.core.selection import AGGREGATES
from stepkit.errors import UsageError
from stepkit.model.local.llama import Model
from stepkit.model.profiles.families import families
from stepkit.model.profiles.parsing import SECTION_OF, from_data, from_json
from stepkit.model.profiles.profile import ProfileMatch, ProfileReadout
from stepkit.model.profiles.recognise import profile_of
from stepkit.model.profiles.token_layout import TokenLayouter

PRM = ROOT / "samples" / "models" / "prm.gguf"
POLICY = ROOT / "samples" / "models" / "policy.gguf"
TRACE: dict[str, Any] = {
    "problem": "1+1?",
    "response": "1+1=2.\nSo 2",
    "steps": ["1+1=2.\n", "So 2"],
}
TINY = {"marker": "<|step|>", "positive": "<|good|>", "negative": {"id": 259, "text": "<|bad|>"}}
HEAD = {"kind": "hidden-head", "marker": "m", "outputs": 2, "good": [1]}


def score(work: Workdir, *args: str | Path) -> Done:
    done = work.run("step-score", "-t", "1", *args, input=json.dumps(TRACE) + "\n")
    assert "Traceback" not in done.err
    return done


# ---- the table ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", families())
def test_a_family_says_what_a_reader_needs(name: str) -> None:
    profile = families()[name]
    assert profile.name == name and "/" in profile.source
    assert not profile.use.aggregate or profile.use.aggregate in AGGREGATES
    assert all(re.fullmatch("[a-z0-9]+", part) for part in profile.match.names)
    read_back = from_json(json.dumps(profile.data()), "here")
    assert replace(read_back, match=ProfileMatch()) == replace(profile, match=ProfileMatch())


def test_no_familys_name_is_part_of_anothers() -> None:
    parts = [(one.name, part) for one in families().values() for part in one.match.names]
    for owner, part in parts:
        found = {other for other, name in parts if part in name}
        assert found == ({"fover-llama", "fover-qwen"} if part == "fover" else {owner})


def test_a_missing_field_has_the_default_that_the_manual_gives() -> None:
    profile = from_data(TINY, "here")
    assert (profile.kind, profile.of) == ("token-logit", "validity")
    assert (profile.text.prompt, profile.text.step) == ("{problem}\n", "{step}")
    assert (profile.mark.at, profile.readout.map) == ("marker", "softmax")
    manual = (ROOT / "man" / "step-score.1").read_text()
    section = manual.split(".Sh PROFILES\n")[1].split("\n.Sh ")[0]
    described = re.findall(r"\w+", " ".join(re.findall(r"^\.It Va (.*)", section, re.M)))
    assert sorted(described) == sorted(SECTION_OF)


@pytest.mark.parametrize(
    ("data", "field", "complaint"),
    [
        ({"colour": "red"}, "colour", "unknown"),
        (TINY | {"kind": "head"}, "kind", "'hidden-head'"),
        (TINY | {"of": "x"}, "of", "validity"),
        (TINY | {"at": "start"}, "at", "'before'"),
        (TINY | {"clean": "wash"}, "clean", "'strip'"),
        (TINY | {"apart": "x"}, "apart", "'prompt'"),
        (TINY | {"map": "x"}, "map", "'tanh'"),
        (TINY | {"prompt": "p"}, "prompt", "{problem}"),
        (TINY | {"step": "p"}, "step", "{step}"),
        (TINY | {"prompt": 7}, "prompt", "a string, got a number"),
        (TINY | {"bos": 1}, "bos", "a string or null"),
        (TINY | {"longest": 1.5}, "longest", "a whole number"),
        (TINY | {"alone": 1}, "alone", "true or false"),
        (TINY | {"threshold": "0.5"}, "threshold", "a number or null"),
        (TINY | {"good": 0}, "good", "a list"),
        (TINY | {"good": [0, 1]}, "good", "some, not all"),
        (TINY | {"good": [2]}, "good", "2 outputs"),
        (TINY | {"good": ["a"]}, "good", "a whole number"),
        (TINY | {"marker": {"id": 7}}, "marker", '"text"'),
        (TINY | {"marker": {"id": True, "text": "x"}}, "marker", "a token"),
        (TINY | {"at": "last"}, "marker", "nothing is read there"),
        (TINY | {"ending": "x"}, "ending", "last"),
        (TINY | {"offset": -1}, "offset", "last"),
        (TINY | {"system": "x"}, "system", "chat"),
        ({"marker": "m", "positive": "p"}, "negative", "needed"),
        ({"positive": "p", "negative": "n"}, "marker", "needed"),
        (TINY | {"map": "sigmoid"}, "outputs", "one output"),
        (HEAD | {"outputs": 0}, "good", "0 outputs"),
        (HEAD | {"map": "tanh"}, "outputs", "one output"),
        (HEAD | {"marker": "", "at": "last", "offset": 1}, "offset", "implicit"),
        ({"kind": "implicit", "at": "last"}, "beta", "above 0"),
        ({"kind": "implicit", "marker": "m", "beta": 1}, "at", "last"),
        ({"kind": "implicit", "at": "last", "beta": 1, "lead": -1}, "lead", "count"),
        ({"kind": "grafted", "marker": "m"}, "rows", "needed"),
        ({"kind": "grafted", "marker": "m", "rows": [1, 2], "bias": [0.5]}, "bias", "2 rows"),
    ],
)
def test_an_error_names_the_file_and_the_field(
    data: dict[str, Any], field: str, complaint: str
) -> None:
    with pytest.raises(UsageError) as error:
        from_json(json.dumps(data), "my.json")
    message = str(error.value)
    assert (
        message.startswith("my.json: ") and f'field "{field}"' in message and complaint in message
    )


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "null"])
def test_a_profile_is_one_object(text: str) -> None:
    with pytest.raises(UsageError, match=r"^my\.json: (not JSON|expected an object)"):
        from_json(text, "my.json")


# ---- numbers --------------------------------------------------------------------------------

LOGITS = st.floats(-1e4, 1e4)


@given(LOGITS, LOGITS)
def test_softmax_of_two_is_the_sigmoid_of_their_difference(plus: float, minus: float) -> None:
    share = ProfileReadout().number((plus, minus))
    assert 0.0 <= share <= 1.0
    assert share == pytest.approx(1 / (1 + math.exp(min(minus - plus, 700))), abs=1e-12)
    assert share + ProfileReadout(good=(1,)).number((plus, minus)) == pytest.approx(1)
    difference = ProfileReadout(map="difference", good=(1,)).number((minus, plus))
    assert difference == pytest.approx(2 * share - 1, abs=1e-12)


@given(st.tuples(LOGITS, LOGITS, LOGITS))
def test_classes_that_speak_for_a_step_add_up(values: tuple[float, float, float]) -> None:
    weights = [math.exp(value - max(values)) for value in values]
    valid = ProfileReadout(good=(1, 2)).number(values)
    assert valid == pytest.approx(sum(weights[1:]) / sum(weights), abs=1e-12)
    redundant = ProfileReadout(good=(1,)).number(values)
    assert redundant == pytest.approx(weights[1] / sum(weights), abs=1e-12)


def test_other_maps() -> None:
    assert ProfileReadout(map="raw").number((-3.5,)) == -3.5
    assert ProfileReadout(map="tanh").number((0.5,)) == pytest.approx(0.46211715726)
    assert ProfileReadout(map="sigmoid").number((0.0,)) == 0.5
    ensemble = ProfileReadout(map="sigmoid").number((0.0, math.log(3)))
    assert ensemble == pytest.approx((0.5 + 0.75) / 2)


def test_a_probability_of_zero_is_a_score_like_any_other() -> None:
    """Code that keeps what is not zero loses it, and shifts every later step."""
    assert ProfileReadout().number((-1e4, 1e4)) == 0.0
    assert ProfileReadout(map="sigmoid").number((-1e4,)) == 0.0


# ---- whose profile it is --------------------------------------------------------------------


def test_what_the_file_carries_comes_before_its_name(tmp_path: Path) -> None:
    path = tmp_path / "math-shepherd.gguf"
    ggufs.write_llama(path, name="Math Shepherd", profile=json.dumps(TINY | {"of": "raw"}))
    read_back = profile_of(Model(str(path)), {})
    assert read_back.profile.of == "raw" and read_back.by == "the model's metadata stepkit.profile"


def test_a_name_without_the_familys_tokens_is_refused(tmp_path: Path) -> None:
    model = Model(str(ggufs.write_llama(tmp_path / "x.gguf", name="Llama3.1 8B PRM-Mistral-Data")))
    with pytest.raises(UsageError, match=r'marker "\+" should be token 10'):
        profile_of(model, {})


def test_a_marker_of_its_own_tells_a_family(tmp_path: Path) -> None:
    marks = (*ggufs.MARKS, "[PRM]")
    model = Model(str(ggufs.write_llama(tmp_path / "x.gguf", marks=marks)))
    read_back = profile_of(model, {})
    assert read_back.profile.name == "pqm" and read_back.by == 'its token "[PRM]"'


def test_a_base_model_with_a_token_for_a_line_break_is_no_reward_model(tmp_path: Path) -> None:
    """gemma-3 has "\\n" among its user-defined tokens, and was taken for a model of TRL."""
    marks = (*ggufs.MARKS, "\n")
    model = Model(str(ggufs.write_llama(tmp_path / "x.gguf", marks=marks)))
    assert "\n" in model.special_tokens()
    with pytest.raises(UsageError, match="of no known family"):
        profile_of(model, {})


def test_an_unknown_model_is_not_guessed(work: Workdir, tmp_path: Path) -> None:
    path = ggufs.write_llama(tmp_path / "x.gguf", name="Some Model 7B")
    done = score(work, "--prm", path)
    assert done.status == 2 and '"Some Model 7B"' in done.err and done.out == b""
    assert "--profile" in done.err and "--list-profiles" in done.err and "--marker" in done.err


def test_auto_is_what_happens_without_it(work: Workdir) -> None:
    assert score(work, "--prm", PRM, "--profile", "auto").out == score(work, "--prm", PRM).out


def test_a_file_and_options_say_the_same(work: Workdir, tmp_path: Path) -> None:
    path = ggufs.write_llama(tmp_path / "x.gguf")
    file = work.write("p.json", json.dumps(TINY | {"prompt": "{problem} ", "step": "{step}!"}))
    by_file = score(work, "--prm", path, "--profile", file)
    assert by_file.status == 0, by_file.err
    options = ("--marker", "<|step|>", "--positive", "<|good|>", "--negative", "259")
    by_options = score(work, "--prm", path, *options, "--prompt", "{problem} ", "--step", "{step}!")
    first, second = (json.loads(done.out)["scores"]["prm"] for done in (by_file, by_options))
    assert first["x"] == second["x"]
    over = score(work, "--prm", path, "--profile", file, *options[2:4], "--step", "{step}!!")
    assert json.loads(over.out)["scores"]["prm"]["meta"]["profile"]["step"] == "{step}!!"
    assert json.loads(over.out)["scores"]["prm"]["x"] != first["x"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file, and none of the families actprm, alphamath"),
        ('{"marker": 7}', 'nope.json: field "marker": expected a token'),
        ("{", "nope.json: not JSON"),
        (b"\xff", "nope.json: not UTF-8"),
        (
            json.dumps(TINY | {"marker": {"id": 5, "text": "<|step|>"}}),
            'the model is not of this profile: its marker "<|step|>" should be token 5',
        ),
        (
            json.dumps(TINY | {"marker": {"id": 9999, "text": "<|step|>"}}),
            "its vocabulary has nothing, of 264 tokens",
        ),
        (json.dumps(TINY | {"chat": True}), "chat template, and it carries none"),
        (json.dumps(TINY | {"bos": "<s>"}), 'field "bos": "<s>" is not one token of this model'),
    ],
)
def test_a_profile_that_cannot_be_used_is_one_line(
    work: Workdir, tmp_path: Path, content: str | bytes | None, complaint: str
) -> None:
    if content is not None:
        work.write("nope.json", content)
    path = ggufs.write_llama(tmp_path / "x.gguf")
    done = score(work, "--prm", path, "--profile", "nope.json")
    assert done.status == 2 and complaint in done.err and done.err.count("\n") == 1, done.err


def test_a_chat_template_that_refuses_is_one_line(work: Workdir, tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ raise_exception('no ' + m.role) }}{% endfor %}"
    profile = json.dumps(TINY | {"chat": True, "system": "s"})
    path = ggufs.write_llama(tmp_path / "x.gguf", profile=profile, template=template)
    done = score(work, "--prm", path)
    assert done.status == 2 and "no system" in done.err and done.err.count("\n") == 1


def test_the_models_own_chat_template_is_used(tmp_path: Path) -> None:
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|end|>{% endfor %}[ai]"
    path = ggufs.write_llama(tmp_path / "x.gguf", template=template)
    model = Model(str(path))
    chat = {"chat": True, "system": "<|bad|> be kind", "prompt": "Q: {problem}", "joiner": "~"}
    laid = TokenLayouter(model, from_data(TINY | chat, "here")).layout(
        {"problem": "<|end|>{step}"}, ["a<|step|>", "b"]
    )
    shown = "".join(
        model.detokenize((token,)).decode() or model.token_text(token) for token in laid.ids
    )
    expected = "[system]<|bad|> be kind<|end|>[user]Q: <|end|>{step}<|end|>[ai]a<|step|>"
    assert shown == expected + "<|step|>~b<|step|>"
    assert [laid.ids.count(token) for token in (256, 257, 259)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("-m", POLICY, "--profile", "trl"), "--profile"),
        (("-m", POLICY, "--explain"), "--explain"),
        (("--prm", PRM, "--explain", "-o", "x"), "-o"),
        (("--prm", PRM, "--explain", "--resume"), "--resume"),
    ],
)
def test_usage(work: Workdir, args: tuple[str | Path, ...], complaint: str) -> None:
    done = score(work, *args)
    assert done.status == 2 and complaint in done.err and done.out == b""


def test_a_trace_that_is_too_long_is_rejected_with_the_reason(
    work: Workdir, tmp_path: Path
) -> None:
    path = ggufs.write_llama(tmp_path / "x.gguf", profile=json.dumps(TINY | {"longest": 12}))
    done = score(work, "--prm", path)
    assert done.status == 3 and "trained on 12 at most" in done.err
    path = ggufs.write_llama(tmp_path / "y.gguf", profile=json.dumps(TINY), context=256)
    steps = ["12345678\n"] * 30
    record = TRACE | {"response": "".join(steps), "steps": steps}
    done = work.run("step-score", "-t", "1", "--prm", path, input=json.dumps(record) + "\n")
    assert done.status == 3 and "256" in done.err and done.out == b"", done.err


# ---- for people -----------------------------------------------------------------------------


def test_the_list_has_every_family(work: Workdir) -> None:
    done = work.run("step-score", "--list-profiles")
    assert done.status == 0 and done.err == ""
    assert [line.split()[0].decode() for line in done.lines[1:]] == list(families())


def explained(done: Done) -> list[tuple[int, int, str]]:
    """Position, id and the rest of every line that shows a token."""
    assert done.status == 0, done.err
    found = re.findall(r"^ +(\d+|\|) +(\d+) (.*)$", done.out.decode(), re.M)
    return [(-1 if at == "|" else int(at), int(token), rest) for at, token, rest in found]


def test_explain_shows_the_ids_that_are_fed(work: Workdir) -> None:
    shown = explained(score(work, "--prm", PRM, "--explain"))
    model = Model(str(PRM))
    laid = TokenLayouter(model, profile_of(model, {}).profile).layout(TRACE, TRACE["steps"])
    assert tuple(token for _, token, _ in shown) == laid.ids
    read = {at: rest for at, _, rest in shown if "<-" in rest}
    assert list(read) == list(laid.positions)
    assert [rest.split("<- ")[1] for rest in read.values()] == ["step 1", "step 2"]


def test_explain_says_what_is_read_and_what_becomes_of_it(work: Workdir, tmp_path: Path) -> None:
    path = ggufs.write_llama(tmp_path / "x.gguf", profile=json.dumps(TINY | {"threshold": 0.5}))
    text = score(work, "--prm", path, "--explain").out.decode()
    assert "258 <|good|>, 259 <|bad|>" in text
    assert "softmax, the share of output 0" in text and "wrong below 0.5" in text
    assert "metadata stepkit.profile" in text


def test_explain_shows_branches_and_the_whole_attempt(work: Workdir, tmp_path: Path) -> None:
    head = {"kind": "hidden-head", "at": "last", "outputs": 1, "map": "sigmoid"}
    path = ggufs.write_llama(tmp_path / "x.gguf", profile=json.dumps(head | {"ending": "<|end|>"}))
    shown = explained(score(work, "--prm", path, "--explain"))
    branched = [(token, rest) for at, token, rest in shown if at == -1]
    assert branched == [(256, "<|end|>  <- step 1")]
    assert shown[-1][1:] == (256, "<|end|>  <- step 2")
    path = ggufs.write_llama(tmp_path / "y.gguf", profile=json.dumps(head | {"attempt": True}))
    rest = [rest for _, _, rest in explained(score(work, "--prm", path, "--explain"))]
    assert [line for line in rest if "<-" in line] == [rest[-1]]


def test_explain_of_a_bad_record_is_its_error(work: Workdir) -> None:
    done = work.run("step-score", "--prm", PRM, "--explain", input='{"problem": "p"}\n')
    assert done.status == 3 and "<stdin>:1: " in done.err
