"""Judges whose law is known: what the protocols make of it, held against truth.

A prompt's tokens are its bytes (served.Utf8), so an engine sees what a judge would read.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from simulated import RuleEngine, run

from stepkit.errors import DataError, UsageError
from stepkit.model.chat import PromptEncoder, Prompter
from stepkit.model.engine import Draw, FinishedDraw, Read, Readout, Request, Sampling
from stepkit.model.prefixes import Prefixes
from stepkit.model.sampler import ModelIdentity, Sampler
from stepkit.model.servers.byte_vocabulary import ByteVocabulary
from stepkit.search.scorers import TraceScores
from stepkit.search.scorers.answer_probabilities import (
    LocalAnswerProbabilities,
    ServedAnswerProbabilities,
    spellings,
)
from stepkit.search.scorers.critique import CritiqueScorer
from stepkit.search.scorers.critique_votes import tally
from stepkit.search.scorers.first_error_critic import FirstErrorCritic
from stepkit.search.scorers.forced_choice import ForcedChoiceScorer
from stepkit.search.scorers.genprm import GenPrmScorer
from stepkit.search.scorers.judge_prompt import JudgePrompt
from stepkit.search.scorers.pairwise import PairwiseJudge, round_robin
from stepkit.search.scorers.thinkprm import ThinkPrmScorer
from stepkit.text.critiques import CritiqueForm, CritiqueVerdict, numbered, read, reference_steps
from stepkit.text.prompt_template import check, filled

Law = Callable[[str], float]
"""A prompt's text -> log-odds of the good answer, in nats."""

META = {"name": "test"}
CHAT = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
STEPS = ["one\n", "two\n", "three\n", "four"]


def laid_out(template: str | None = None) -> Prefixes:
    form = None if template else "{problem}"
    special = {"bos_token": "", "eos_token": ""}
    prompter = Prompter(
        PromptEncoder(ByteVocabulary()), template=template, form=form, system=None, special=special
    )
    return Prefixes(ByteVocabulary(), prompter)


def sampler_on(prefixes: Prefixes, **sampling: Any) -> Sampler:
    identity = ModelIdentity("judge", "judge")
    return Sampler(prefixes, Sampling(**sampling), model=identity, context=None, seed=1)


def text_of(ids: Sequence[int]) -> str:
    return bytes(ids).decode()


def logits(request: Read, law: Law) -> Readout:
    """The log-odds of every prompt in a Read, on the first half of its candidates (Y, y)."""
    prompts = [request.ids[: request.positions[0] + 1]] if request.positions else []
    prompts += [request.ids[: branch.start] + branch.ids for branch in request.branches]
    good = len(request.candidates) // 2
    rows = [
        (law(text_of(ids)),) * good + (0.0,) * (len(request.candidates) - good) for ids in prompts
    ]
    return Readout(tuple(rows))


def reader(law: Law) -> RuleEngine:
    def rule(request: Request) -> Readout:
        assert isinstance(request, Read)
        return logits(request, law)

    return RuleEngine(rule)


def writer(write: Callable[[Draw], str], finish: str = "stop") -> RuleEngine:
    """An engine whose draws are what ``write`` makes of them."""

    def rule(request: Request) -> FinishedDraw:
        assert isinstance(request, Draw)
        return FinishedDraw(write(request), finish, 5, None, -1.0)

    return RuleEngine(rule)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def trace(steps: Sequence[str] = STEPS, **more: Any) -> dict[str, Any]:
    return {"problem": "p", "response": "".join(steps), "steps": list(steps), **more}


def judged(engine: RuleEngine, scorer: Any, data: dict[str, Any], first: int = 0) -> TraceScores:
    (result,) = run(engine, [scorer.score(data, data["steps"], first)])
    if isinstance(result, Exception):
        raise result
    return result


# ---- prompts --------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_what_is_put_into_a_prompt_is_never_looked_at_again(problem: str, step: str) -> None:
    made = filled("<{problem}|{other}|{step}>", problem=problem, step=step)
    assert made == f"<{problem}|{{other}}|{step}>"


def test_a_missing_place_is_named() -> None:
    with pytest.raises(UsageError, match=r"\{step\}"):
        check("{problem} {steps}", ("problem", "step"), "--judge-prompt")


def test_spellings_are_the_ways_to_begin_a_reply() -> None:
    assert set(spellings("yes, right")) == {
        *("yes", " yes", "Yes", " Yes", "right", " right", "Right", " Right")
    }


# ---- forced choice --------------------------------------------------------------------------


def choice(
    law: Law, form: str = "{problem}:{given}{step}?"
) -> tuple[RuleEngine, ForcedChoiceScorer]:
    prefixes = laid_out()
    answers = LocalAnswerProbabilities(prefixes, [("Y", "y"), ("N", "n")], "--judge")
    words = {"good": "Y", "bad": "N"}
    return reader(law), ForcedChoiceScorer(JudgePrompt(prefixes, form), answers, words, META)


def test_a_step_is_judged_from_its_prefix_and_all_in_one_read() -> None:
    seen: list[str] = []

    def law(prompt: str) -> float:
        seen.append(prompt)
        return len(prompt) / 7 - 1

    engine, scorer = choice(law)
    scored = judged(engine, scorer, trace())
    prompts = ["p:one\n?", "p:one\ntwo\n?", "p:one\ntwo\nthree\n?", "p:one\ntwo\nthree\nfour?"]
    assert scored.x == pytest.approx([sigmoid(len(prompt) / 7 - 1) for prompt in prompts])
    assert sorted(seen) == sorted(prompts) and len(engine.seen) == 1
    (request,) = engine.seen
    assert isinstance(request, Read)
    evaluated = len(request.ids) + sum(len(branch.ids) for branch in request.branches)
    assert evaluated == len(prompts[-1]) + 3, "each prompt costs its own end only"


def test_equal_prompts_are_read_once_and_answered_each() -> None:
    engine, scorer = choice(lambda prompt: 2.0, form="{problem}")
    assert judged(engine, scorer, trace()).x == pytest.approx([sigmoid(2.0)] * 4)


def test_what_came_back_from_a_tool_is_not_judged() -> None:
    engine, scorer = choice(lambda prompt: 0.0)
    data = trace(role=["assistant", "tool", "assistant", "tool"])
    assert judged(engine, scorer, data).x == [0.5, None, 0.5, None]
    assert judged(engine, scorer, data, first=1).x == [None, None, 0.5, None]


def test_the_spellings_of_an_answer_add_up() -> None:
    answers = LocalAnswerProbabilities(laid_out(), [("Y", "y", "Ys"), ("N",)], "--judge")
    engine = RuleEngine(lambda _: Readout(((1.0, 2.0, 0.5),)))
    ((shares,),) = run(engine, [answers.choose([(1, 2, 3)])])
    good = math.exp(1) + math.exp(2)
    assert shares[0] == pytest.approx(good / (good + math.exp(0.5)))
    (request,) = engine.seen
    assert isinstance(request, Read) and request.candidates == (ord("Y"), ord("y"), ord("N"))


def test_answers_that_begin_alike_are_refused() -> None:
    with pytest.raises(UsageError, match="begins like another"):
        LocalAnswerProbabilities(laid_out(), [("Help",), ("Harm",)], "--good")
    LocalAnswerProbabilities(laid_out(), [("Help", "good"), ("Harm", "bad")], "--good")


@given(st.tuples(*[st.floats(-5, 5)] * 3))
def test_three_answers_give_the_expected_label(row: tuple[float, float, float]) -> None:
    prefixes = laid_out()
    answers = LocalAnswerProbabilities(prefixes, ["g", "n", "b"], "--judge")
    words = {"good": "g", "neutral": "n", "bad": "b"}
    scorer = ForcedChoiceScorer(JudgePrompt(prefixes, "{problem}{step}"), answers, words, META)
    scored = judged(RuleEngine(lambda _: Readout((row,))), scorer, trace(["s"]))
    weights = [math.exp(one) for one in row]
    label = (weights[0] - weights[2]) / sum(weights)
    assert scored.x == pytest.approx([(label + 1) / 2])
    assert weights[1 - scored.more["verdict"][0]] == max(weights)


def test_a_server_lists_tokens_and_what_it_does_not_list_is_impossible() -> None:
    answers = ServedAnswerProbabilities([spellings("Yes"), spellings("No")], 5)
    listed = ((" Yes", math.log(0.3)), ("Y", math.log(0.1)), ("no", math.log(0.2)), (" ", -1.0))

    def rule(request: Request) -> FinishedDraw:
        assert isinstance(request, Draw) and request.listed == 5
        found = {1: listed, 2: listed[:1], 3: (("Maybe", -0.1),)}[len(request.prefix)]
        return FinishedDraw("x", "length", 1, None, None, (), found)

    (shares,) = run(RuleEngine(rule), [answers.choose([(1,), (1, 1), (1, 1, 1)])])
    assert shares[0] == pytest.approx((0.4 / 0.6, 0.2 / 0.6))
    assert shares[1:] == [(1.0, 0.0), None]


# ---- critiques ------------------------------------------------------------------------------

REASON = st.text(st.characters(exclude_characters="\n", codec="utf-8"), min_size=1, max_size=40)
SHAPE = CritiqueForm("correct", "wrong", 40)
MATCHING = CritiqueForm("correct", "wrong", 40, matches=True)


def written(verdicts: Sequence[CritiqueVerdict], shape: CritiqueForm) -> str:
    lines = []
    for number, one in enumerate(verdicts, 1):
        lines.append(f"Step {number}: {one.why}")
        if shape.matches:
            lines.append(f"Reference {number}: {one.reference}")
        lines.append(f"Verdict {number}: {shape.good if one.right else shape.bad}")
    return "\n".join(lines) + "\n"


@given(st.lists(st.builds(CritiqueVerdict, st.booleans(), REASON, st.integers(0, 9)), min_size=1))
def test_a_critique_in_the_form_is_read_as_it_was_meant(meant: list[CritiqueVerdict]) -> None:
    numbers = range(1, len(meant) + 1)
    found = read(written(meant, MATCHING), MATCHING, numbers, 9)
    stripped = [CritiqueVerdict(one.right, one.why.strip(), one.reference) for one in meant]
    assert found == stripped


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Step 1: fine\n", "no verdict"),
        ("Step 1: a\nVerdict 1: correct\nVerdict 1: wrong\n", "two verdicts"),
        ("Step 1: a\nVerdict 1: correct-ish\n", "another form"),
        ("Step 1: a\nVerdict 1: CORRECT\n", "another form"),
        ("Verdict 1: correct\n", "another form"),
        ("I think that all is well.", "no verdict"),
    ],
)
def test_what_is_not_in_the_form_is_no_verdict(text: str, why: str) -> None:
    (found,) = read(text, SHAPE, [1])
    assert isinstance(found, str) and why in found


def test_a_reference_step_that_does_not_exist_is_no_verdict() -> None:
    text = "Step 1: a\nReference 1: 7\nVerdict 1: correct\n"
    assert isinstance(read(text, MATCHING, [1], 6)[0], str)
    assert read(text, MATCHING, [1], 7) == [CritiqueVerdict(True, "a", 7)]


def critic(
    draws: int, vote: str = "mean", shape: CritiqueForm = SHAPE, held: bool = False, **sampling: Any
) -> CritiqueScorer:
    prefixes = laid_out()
    question = JudgePrompt(prefixes, "{problem} {steps} {solution}")
    sampler = sampler_on(prefixes, **sampling)
    return CritiqueScorer(question, sampler, shape, META, draws=draws, vote=vote, grammar=held)


def noisy(truth: Sequence[bool], accuracy: float) -> Callable[[Draw], str]:
    """A judge that is right about each step with a chance of ``accuracy``, by the draw's seed."""

    def write(draw: Draw) -> str:
        lucky = random.Random(draw.seed)
        verdicts_given = [right if lucky.random() < accuracy else not right for right in truth]
        return written([CritiqueVerdict(one, f"because {one}") for one in verdicts_given], SHAPE)

    return write


TRUTH = (True, True, False, True)


def test_the_share_of_critiques_is_the_judges_accuracy() -> None:
    accuracy, draws = 0.7, 400
    scored = judged(writer(noisy(TRUTH, accuracy)), critic(draws), trace())
    spread = 4.5 * math.sqrt(accuracy * (1 - accuracy) / draws)
    for right, x, k in zip(TRUTH, scored.x, scored.more["k"], strict=True):
        assert x is not None and abs(x - (accuracy if right else 1 - accuracy)) < spread
        assert k == round(x * draws)
    assert scored.more["n"] == [draws] * 4 and scored.more["undecided"] == [0] * 4


def test_a_majority_is_right_as_often_as_condorcet_says() -> None:
    accuracy, draws, traces = 0.7, 5, 300
    expected = sum(
        math.comb(draws, k) * accuracy**k * (1 - accuracy) ** (draws - k)
        for k in range(draws // 2 + 1, draws + 1)
    )
    right = 0
    for number in range(traces):
        data = trace(problem=f"p{number}")
        scored = judged(writer(noisy(TRUTH, accuracy)), critic(draws, "majority"), data)
        right += sum(x == float(truth) for x, truth in zip(scored.x, TRUTH, strict=True))
    total = 4 * traces
    assert abs(right / total - expected) < 4.5 * math.sqrt(expected * (1 - expected) / total)


def test_a_tie_is_no_majority_and_a_reason_agrees_with_most() -> None:
    texts = iter(
        [
            "Step 1: no\nVerdict 1: wrong\n",
            "Step 1: yes\nVerdict 1: correct\n",
            "nothing",
            "Step 1: sure\nVerdict 1: correct\n",
            "Step 1: never\nVerdict 1: wrong\n",
        ]
    )
    drawn = {number: next(texts) for number in range(5)}
    scorer = critic(4, "majority")
    order = {draw.key: n for n, draw in enumerate(_asked(scorer, trace(["s"])))}
    scored = judged(writer(lambda draw: drawn[order[draw.key]]), scorer, trace(["s"]))
    assert (scored.x, scored.more["k"], scored.more["n"]) == ([1.0], [2], [3])
    assert scored.more["undecided"] == [1] and scored.more["why"] == ["yes"]
    scorer = critic(5, "majority")
    order = {draw.key: n for n, draw in enumerate(_asked(scorer, trace(["s"])))}
    tied = judged(writer(lambda draw: drawn[order[draw.key]]), scorer, trace(["s"]))
    assert (tied.x, tied.more["k"], tied.more["n"]) == ([None], [2], [4])


def _asked(scorer: Any, data: dict[str, Any]) -> list[Draw]:
    return list(next(scorer.score(data, data["steps"])))


@given(st.lists(st.lists(st.sampled_from([True, False, None]), min_size=3, max_size=3)))
def test_verdicts_are_counted(rows: list[list[bool | None]]) -> None:
    counted = tally(rows, 3)
    for step in range(3):
        column = [row[step] for row in rows]
        assert counted.k[step] == sum(one is True for one in column)
        assert counted.n[step] + counted.undecided[step] == len(rows)
        decided = [one for one in column if one is not None]
        mean = sum(decided) / len(decided) if decided else None
        assert counted.x("mean")[step] == mean
        assert counted.x("intersection")[step] == (float(any(decided)) if decided else None)


def test_a_critique_that_was_cut_off_says_so() -> None:
    text = "Step 1: a\nVerdict 1: correct\nStep 2: b"
    scored = judged(writer(lambda _: text, "length"), critic(1), trace(["s\n", "t"]))
    assert scored.x == [1.0, None] and "cut off" in scored.more["why"][1]


def test_steps_of_a_tool_are_shown_but_not_judged() -> None:
    text = "Step 1: a\nVerdict 1: correct\nStep 3: c\nVerdict 3: wrong\n"
    scorer = critic(2, held=True)
    data = trace(["s\n", "t\n", "u"], role=["assistant", "tool", "assistant"])
    scored = judged(writer(lambda _: text), scorer, data)
    assert (scored.x, scored.more["n"]) == ([1.0, None, 0.0], [2, 0, 2])
    assert scored.more["undecided"] == [0, 0, 0]
    (draw, _) = _asked(scorer, data)
    assert '"Verdict 2: "' not in draw.sampling.grammar and "Step 2: t" in text_of(draw.prefix)


def test_equal_texts_of_different_roles_are_different_critiques() -> None:
    scorer = critic(1, held=True)
    plain = _asked(scorer, trace(["s\n", "t"]))
    other = _asked(scorer, trace(["s\n", "t"], role=["assistant", "tool"]))
    assert plain[0].prefix == other[0].prefix and plain[0].key != other[0].key


def test_alignment_needs_a_solution_and_names_its_steps() -> None:
    text = "Step 1: a\nReference 1: 2\nVerdict 1: correct\n"
    scorer = critic(3, shape=MATCHING)
    with pytest.raises(DataError, match="solution"):
        judged(writer(lambda _: text), scorer, trace(["s"]))
    data = trace(["s"], solution="First this.\n\n  Then that.\n")
    scored = judged(writer(lambda _: text), scorer, data)
    assert scored.x == [1.0] and scored.more["reference"] == [2]
    (draw, *_) = _asked(scorer, data)
    assert "Step 1: First this.\nStep 2: Then that." in text_of(draw.prefix)


def test_a_grammar_bounds_what_can_be_written() -> None:
    shape = CritiqueForm("correct", "wrong", 4, matches=True)
    reason = "\U0001f600" * 4
    longest = "".join(
        f"Step {n}: {reason}\nReference {n}: 12\nVerdict {n}: correct\n" for n in (1, 2)
    )
    assert shape.most_bytes([1, 2], 12) == len(longest.encode())


# ---- the first wrong step -------------------------------------------------------------------


def first_errors(texts: Sequence[str], finish: str = "stop", **more: Any) -> TraceScores:
    prefixes = laid_out()
    question = JudgePrompt(prefixes, "{problem} {steps}")
    scorer = FirstErrorCritic(question, sampler_on(prefixes), META, len(texts))
    data = trace(**more)
    order = {draw.key: text for draw, text in zip(_asked(scorer, data), texts, strict=True)}
    return judged(writer(lambda draw: order[draw.key], finish), scorer, data)


def test_a_critic_votes_on_the_first_wrong_step() -> None:
    scored = first_errors(
        [r"so \boxed{2}", r"\boxed{-1}", r"\boxed{2}", r"\boxed{1}", r"\boxed{\text{two}}", "?"]
    )
    assert scored.more["first"] == 2 and scored.more["votes"] == 2
    assert scored.more["k"] == [4, 3, 1, 1] and scored.more["n"] == [4, 4, 3, 1]
    assert scored.more["undecided"] == [2, 2, 3, 5]
    assert scored.x == pytest.approx([1.0, 0.75, 1 / 3, 1.0])
    assert scored.more["why"] == [None, None, r"so \boxed{2}", None]


@pytest.mark.parametrize("text", [r"\boxed{4}", r"\boxed{-2}", r"\boxed{1", r"\boxed{1.0}", "1"])
def test_a_number_of_no_step_is_undecided(text: str) -> None:
    scored = first_errors([text])
    assert scored.x == [None] * 4 and scored.more["first"] is None


def test_a_critic_that_was_cut_off_or_names_a_tools_step_is_undecided() -> None:
    assert first_errors([r"\boxed{1}"], "length").more["first"] is None
    roles = ["assistant", "tool", "assistant", "assistant"]
    assert first_errors([r"\boxed{1}"], role=roles).more["first"] is None
    assert first_errors([r"\boxed{2}"], role=roles).x == [1.0, None, 0.0, None]


def test_a_critics_paragraphs_are_numbered_from_0() -> None:
    prefixes = laid_out()
    scorer = FirstErrorCritic(JudgePrompt(prefixes, "{steps}"), sampler_on(prefixes), META, 1)
    (draw,) = _asked(scorer, trace(["a\n", "b"]))
    shown = "<paragraph_0>\na\n</paragraph_0>\n\n<paragraph_1>\nb\n</paragraph_1>"
    assert text_of(draw.prefix) == shown


# ---- verifiers that think -------------------------------------------------------------------


def thinking(write: Callable[[Draw], str], law: Law, finish: str = "stop") -> RuleEngine:
    def rule(request: Request) -> FinishedDraw | Readout:
        if isinstance(request, Draw):
            return FinishedDraw(write(request), finish, 5, None, -1.0)
        return logits(request, law)

    return RuleEngine(rule)


def test_thinkprm_averages_the_verdicts_behind_its_rationales() -> None:
    prefixes = laid_out(CHAT)
    answers = LocalAnswerProbabilities(prefixes, [("y", "Y"), ("n", "N")], "--judge")
    scorer = ThinkPrmScorer(
        JudgePrompt(prefixes, "{problem}|{steps}"), sampler_on(prefixes), answers, META, 3
    )
    odds: dict[str, float] = {}
    rationales: dict[int, list[float]] = {}

    def write(draw: Draw) -> str:
        prompt = text_of(draw.prefix)
        count = prompt.count("Step ")
        assert prompt.endswith("[end][assistant]\nLet's verify step by step:")
        assert f"Step {count + 1}:" in draw.sampling.stop and "</think>" in draw.sampling.stop
        text = f" thought {draw.seed}\n"
        odds[text] = random.Random(draw.seed).uniform(-3, 3)
        rationales.setdefault(count, []).append(odds[text])
        return text

    def law(prompt: str) -> float:
        found = re.search(r"step by step:( thought \d+\n)\nIs the solution correct\?$", prompt)
        assert found is not None
        return odds[found[1]]

    steps = ["Step 1: a\n", "b\n", "## Step 3: c"]
    scored = judged(thinking(write, law), scorer, trace(steps))
    means = [sum(map(sigmoid, rationales[count])) / 3 for count in (1, 2, 3)]
    assert scored.x == pytest.approx(means)
    assert scored.more["n"] == [3] * 3 and scored.more["cut"] == [0] * 3
    (first, *_) = _asked(scorer, trace(steps))
    assert text_of(first.prefix).startswith("[user]p|Step 1: a[end]")


def test_thinkprms_of_equal_prompts_that_stop_elsewhere_are_different_draws() -> None:
    prefixes = laid_out(CHAT)
    answers = LocalAnswerProbabilities(prefixes, [("y",), ("n",)], "--judge")
    scorer = ThinkPrmScorer(
        JudgePrompt(prefixes, "{steps}"), sampler_on(prefixes), answers, META, 1
    )
    two = _asked(scorer, trace(["a\n", "b"]))[1]
    one = _asked(scorer, trace(["a\nStep 2: b"]))[0]
    assert one.prefix == two.prefix and one.key != two.key


def test_genprm_is_a_conversation_about_one_paragraph_after_the_other() -> None:
    prefixes = laid_out(CHAT)
    answers = LocalAnswerProbabilities(prefixes, [("Y", "y"), ("N", "n")], "--judge")
    scorer = GenPrmScorer("Be a teacher.", sampler_on(prefixes), answers, META, 2)
    prompts: list[str] = []

    def write(draw: Draw) -> str:
        prompts.append(text_of(draw.prefix))
        return "hm."

    def law(prompt: str) -> float:
        assert prompt.endswith("hm.</analyze>\n<output>\n**Judgement**: $\\boxed{")
        return 1.5 if "[user]b[end]" in prompt else -0.5

    scored = judged(thinking(write, law, "length"), scorer, trace(["a\n", "b"]))
    assert scored.x == pytest.approx([sigmoid(-0.5), sigmoid(1.5)])
    assert scored.more["n"] == [2, 2] and scored.more["cut"] == [2, 2]
    opener = "<analyze>\nLet's analyze the Paragraph {} step by step: "
    first = "[system]Be a teacher.[end][user]p\na[end][assistant]"
    reply = opener.format(1) + "hm.</analyze>\n<output>\n**Judgement**: $\\boxed{No}$\n</output>\n"
    second = f"{first}{reply}[end][user]b[end][assistant]{opener.format(2)}"
    assert sorted(prompts) == sorted([first + opener.format(1)] * 2 + [second] * 2)


# ---- pairs ----------------------------------------------------------------------------------


def contest(
    strengths: Sequence[float], rounds: str, bias: float = 0.0
) -> tuple[list[list[dict[str, Any]]], RuleEngine]:
    """Verdicts of a judge that knows each attempt's strength and likes the first place."""
    prefixes = laid_out()
    answers = LocalAnswerProbabilities(prefixes, [("A",), ("B",)], "--judge")
    pairs = PairwiseJudge(
        JudgePrompt(prefixes, "{problem}/{first}/{second}"), answers, rounds, META
    )

    def law(prompt: str) -> float:
        _, first, second = prompt.split("/")
        return strengths[int(first)] - strengths[int(second)] + bias

    engine = reader(law)
    records = [trace([str(n)], id=f"r{n}") for n in range(len(strengths))]
    (result,) = run(engine, [pairs.compare(records)])
    if isinstance(result, Exception):
        raise result
    return result, engine


STRENGTHS = st.lists(st.floats(-4, 4), min_size=1, max_size=9)


@examples(40)
@given(STRENGTHS, st.floats(-5, 5))
def test_a_liking_for_a_place_cancels(strengths: list[float], bias: float) -> None:
    verdicts, _ = contest(strengths, "all", bias)
    for a, b in combinations(range(len(strengths)), 2):
        (forth,) = [one for one in verdicts[a] if one["against"] == f"r{b}"]
        (back,) = [one for one in verdicts[b] if one["against"] == f"r{a}"]
        assert forth["p"] == pytest.approx(sigmoid(strengths[a] - strengths[b]), abs=1e-7)
        assert forth["p"] + back["p"] == pytest.approx(1.0) and forth["n"] == back["n"] == 1
    assert sum(map(len, verdicts)) == len(strengths) * (len(strengths) - 1)


@examples(40)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=12, unique=True))
def test_a_knockout_asks_one_pair_less_than_attempts_and_the_strongest_wins(
    order: list[int],
) -> None:
    verdicts, _ = contest([one / 10 for one in order], "knockout")
    assert sum(map(len, verdicts)) == 2 * (len(order) - 1)
    unbeaten = [number for number, own in enumerate(verdicts) if all(one["p"] > 0.5 for one in own)]
    assert unbeaten == [order.index(max(order))]


@examples(40)
@given(st.lists(st.integers(-20, 20), min_size=1, max_size=12, unique=True))
def test_elimination_keeps_the_strongest_and_asks_fewer_than_two_pairs_each(
    order: list[int],
) -> None:
    count = len(order)
    verdicts, engine = contest([one / 10 for one in order], "elimination", bias=0.7)
    pairs = sum(map(len, verdicts)) // 2
    assert max(count - 1, 0) <= pairs <= max(2 * count - 3, 0)
    assert len(engine.seen) <= count - 1, "a round at most for each that goes"
    best = verdicts[order.index(max(order))]
    assert all(one["p"] > 0.5 for one in best)
    assert len({one["against"] for one in best}) == len(best), "no pair is asked twice"


@given(st.integers(0, 14))
def test_a_round_robin_lets_each_two_meet_once(count: int) -> None:
    rounds = round_robin(count)
    met = [pair for one in rounds for pair in one]
    assert sorted(met) == list(combinations(range(count), 2))
    for one in rounds:
        busy = [number for pair in one for number in pair]
        assert len(busy) == len(set(busy)) >= count - 1


def test_so_many_rounds_are_so_many_opponents() -> None:
    verdicts, engine = contest([0.1 * n for n in range(8)], "3")
    assert [len(own) for own in verdicts] == [3] * 8
    assert all(len({one["against"] for one in own}) == 3 for own in verdicts)
    assert len(engine.seen) == 1
    verdicts, _ = contest([0.0, 1.0, 2.0], "9")
    assert [len(own) for own in verdicts] == [2, 2, 2], "no pair meets twice"


def test_two_records_of_one_id_cannot_be_told_apart() -> None:
    prefixes = laid_out()
    answers = LocalAnswerProbabilities(prefixes, [("A",), ("B",)], "--judge")
    pairs = PairwiseJudge(JudgePrompt(prefixes, "{problem}{first}{second}"), answers, "all", META)
    (result,) = run(reader(lambda _: 0.0), [pairs.compare([trace(id="a"), trace(id="a")])])
    assert isinstance(result, DataError) and '"a"' in result.what


def test_attempts_at_different_problems_are_not_compared() -> None:
    prefixes = laid_out()
    answers = LocalAnswerProbabilities(prefixes, [("A",), ("B",)], "--judge")
    pairs = PairwiseJudge(JudgePrompt(prefixes, "{problem}{first}{second}"), answers, "all", META)
    two = [trace(id="a"), trace(id="b", problem="q")]
    (result,) = run(reader(lambda _: 0.0), [pairs.compare(two)])
    assert isinstance(result, DataError) and result.field == "problem"


def test_numbering() -> None:
    assert numbered(["a\n", " b"]) == "Step 1: a\nStep 2: b"
    assert reference_steps("x\n\n y\n") == ["x", "y"]
