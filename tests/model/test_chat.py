"""Prompts: the template is followed to the byte, and text is never parsed for special tokens."""

from __future__ import annotations

import re

import pytest

from stepkit.errors import DataError, UsageError
from stepkit.model.chat import ChatTemplate, PromptEncoder, Prompter, fill

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = {"<|im_start|>": 1001, "<|im_end|>": 1002, "<bos>": 1000}


class Letters:
    """A vocabulary of one token per character, and a few special tokens."""

    def __init__(self, bos: tuple[int, ...] = ()) -> None:
        self.bos = bos
        self.asked: list[str] = []

    def special_tokens(self) -> dict[str, int]:
        return SPECIAL

    def tokenize(self, text: str) -> tuple[int, ...]:
        self.asked.append(text)
        return tuple(map(ord, text))

    tokenize_exact = tokenize


def shown(ids: tuple[int, ...]) -> str:
    names = {number: text for text, number in SPECIAL.items()}
    return "".join(f"[{names[i]}]" if i in names else chr(i) for i in ids)


def prompter(vocabulary: Letters, template: str | None = CHATML, **more: str) -> Prompter:
    return Prompter(
        PromptEncoder(vocabulary),
        template=template,
        form=more.get("form"),
        system=more.get("system"),
        special={"bos_token": "<bos>", "eos_token": ""},
    )


def test_a_chat_template_is_followed() -> None:
    ids = prompter(Letters(), system="Be brief.").prompt("2 + 2?")
    assert shown(ids) == (
        "[<|im_start|>]system\nBe brief.[<|im_end|>]\n"
        "[<|im_start|>]user\n2 + 2?[<|im_end|>]\n[<|im_start|>]assistant\n"
    )


def test_special_tokens_in_a_problem_stay_text() -> None:
    ids = prompter(Letters()).prompt("say <|im_end|>")
    assert shown(ids).count("[<|im_end|>]") == 1
    assert "say <|im_end|>" in shown(ids)


def test_template_and_content_are_tokenised_in_one_piece() -> None:
    vocabulary = Letters()
    prompter(vocabulary).prompt("2 + 2?")
    assert "user\n2 + 2?" in vocabulary.asked


def test_bos_is_added_once() -> None:
    with_bos = "<bos>" + CHATML
    assert shown(prompter(Letters((1000,)), with_bos).prompt("x")).count("[<bos>]") == 1
    assert shown(prompter(Letters((1000,)), CHATML).prompt("x")).startswith("[<bos>][<|im_start|>]")


def test_a_template_that_strips_is_followed() -> None:
    template = CHATML.replace("m.content", "m.content | trim")
    assert "user\n2 + 2?[" in shown(prompter(Letters(), template).prompt("  2 + 2?\n"))


def test_a_template_that_rewrites_text_is_refused() -> None:
    with pytest.raises(DataError, match="changes the text"):
        prompter(Letters(), CHATML.replace("m.content", "m.content | upper")).prompt("abc")


def test_a_template_that_drops_the_problem_is_refused() -> None:
    for template in ("{{ messages[0]['content'][0]['text'] }}", "fixed"):
        with pytest.raises(DataError, match="drops"):
            prompter(Letters(), template).prompt("abc")


def test_a_template_that_fails_is_an_error_of_the_record() -> None:
    with pytest.raises(DataError, match="chat template"):
        prompter(Letters(), "{{ messages[0].content + 1 }}").prompt("abc")


def test_a_template_cannot_reach_out_of_its_sandbox() -> None:
    evil = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(DataError, match="chat template"):
        prompter(Letters(), evil).prompt("x")


def test_a_template_may_refuse() -> None:
    with pytest.raises(DataError, match="roles must alternate"):
        prompter(Letters(), "{{ raise_exception('roles must alternate') }}").prompt("x")


def test_a_broken_template_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="chat template"):
        ChatTemplate("{% for %}", {})


def test_the_date_is_not_offered() -> None:
    template = (
        "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}fixed{% endif %}"
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    assert shown(prompter(Letters(), template).prompt("x")) == "fixedx"


def test_a_plain_format() -> None:
    ids = prompter(Letters(), form="Q {x}: {problem}\nA:").prompt("is {problem} 1?")
    assert shown(ids) == "Q {x}: is {problem} 1?\nA:"


def test_a_plain_format_may_name_special_tokens() -> None:
    ids = prompter(Letters(), form="<|im_start|>{problem}").prompt("<|im_start|>")
    assert shown(ids) == "[<|im_start|>]<|im_start|>"


def test_a_format_without_a_problem_is_refused() -> None:
    with pytest.raises(UsageError, match=re.escape("{problem}")):
        prompter(Letters(), form="Q:")


def test_a_system_text_needs_a_template() -> None:
    with pytest.raises(UsageError, match="--system"):
        prompter(Letters(), None, system="x")


def test_fill_leaves_unknown_braces() -> None:
    assert fill("{a}{b}{", a="1") == [("1", False), ("{b}{", True)]


def laid_out(problem: str, template: str | None = CHATML, bos: bool = False, **more: str) -> object:
    return prompter(Letters((1000,) if bos else ()), template, **more).laid_out(problem)


def test_the_text_of_a_prompt_has_a_place_for_the_problem() -> None:
    assert laid_out("2 + 2?", system="Be brief.") == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n{problem}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert laid_out("x", form="Q: {problem}\nA:") is None  # the form says it all


def test_the_token_that_starts_every_text_is_not_in_it() -> None:
    """A trainer's tokeniser would put a second one before it."""
    for template in ("<bos>" + CHATML, CHATML):
        assert str(laid_out("x", template, bos=True)).startswith("<|im_start|>user\n{problem}")
    assert laid_out("x", form="<bos>Q: {problem}", bos=True) == "Q: {problem}"
    # A vocabulary that puts none there leaves the template's own.
    assert str(laid_out("x", "<bos>" + CHATML)).startswith("<bos><|im_start|>")


def test_a_problem_that_cannot_be_put_in_later_stands_in_the_text() -> None:
    strips = CHATML.replace("m.content", "m.content | trim")
    assert "user\n{problem}<" in str(laid_out("2 + 2?", strips))
    assert "user\n2 + 2?<" in str(laid_out("2 + 2?\n", strips))
    assert laid_out("x", system="Read {problem}.") is None  # which of the two is the problem?


def test_a_conversation_is_laid_out_whole() -> None:
    turns = [
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "4"},
        {"role": "user", "content": "And 3?"},
    ]
    assert prompter(Letters(), system="Add.").laid_out("And 3?", turns) == (
        "<|im_start|>system\nAdd.<|im_end|>\n<|im_start|>user\n2 + 2?<|im_end|>\n"
        "<|im_start|>assistant\n4<|im_end|>\n<|im_start|>user\n{problem}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
