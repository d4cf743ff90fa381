"""Prompts: problems laid out by the GGUF's chat template, or by a plain format of the user.

The text of a problem or step is never parsed for special tokens: a solution that contains
"<|im_end|>" is just that text. So a template is rendered with placeholders for the contents;
special tokens are recognised in the template's own text only, and the contents are put in after
that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from stepkit.errors import DataError, UsageError, reason
from stepkit.seeds import digest

Message = Mapping[str, str]
Part = tuple[str, bool]
"""Text, and whether special tokens may be recognised in it."""

PROBLEM = "{problem}"
DEFAULT_FORMAT = PROBLEM + "\n"


class ChatVocabulary(Protocol):
    """What this module needs of a model."""

    @property
    def bos(self) -> tuple[int, ...]: ...

    def special_tokens(self) -> dict[str, int]: ...

    def tokenize(self, text: str) -> tuple[int, ...]: ...

    def tokenize_exact(self, text: str) -> tuple[int, ...] | None: ...


@dataclass(frozen=True)
class TemplateSource:
    """A chat template's source, and the special tokens that it may name, where known."""

    source: str
    bos_token: str = ""
    eos_token: str = ""


def read_template(path: str) -> TemplateSource:
    """A template from a Jinja file, or from a model's ``tokenizer_config.json``.

    Its bos_token is left out, because a model that gets text adds that itself. Raises UsageError.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise UsageError(f"--template {path}: {reason(error)}") from None
    except UnicodeDecodeError:
        raise UsageError(f"--template {path}: not UTF-8") from None
    try:
        config = json.loads(text)
    except ValueError:
        return TemplateSource(text)
    source = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(source, list):  # several by name
        named = {row.get("name"): row.get("template") for row in source if isinstance(row, dict)}
        source = named.get("default")
    if not isinstance(source, str):
        raise UsageError(f'--template {path}: JSON without a "chat_template"')
    eos = config.get("eos_token")
    if isinstance(eos, dict):
        eos = eos.get("content")
    return TemplateSource(source, eos_token=eos if isinstance(eos, str) else "")


class ChatTemplate:
    """A Jinja chat template in a sandbox.

    The current date is not offered to it (a prompt that changes every day cannot be reproduced):
    templates that ask for it fall back on their own fixed date.

    Raises UsageError when the template cannot be parsed.
    """

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        self._special = dict(special)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise UsageError(f"the model's chat template: {error}; use --prompt") from None

    def parts(self, messages: Sequence[Message], generate: bool = True) -> list[Part]:
        """Render ``messages``; contents come as parts in which no special token is recognised.

        Raises DataError when the template refuses the messages or rewrites their text in a way
        other than stripping white space.
        """
        for strip in (False, True):
            contents = [m["content"].strip() if strip else m["content"] for m in messages]
            real = self._render(messages, contents, generate)
            marks = [f"\ufdd0{index}\ufdd1" for index in range(len(messages))]
            rendered = self._render(messages, marks, generate)
            if marks[-1] not in rendered:
                break
            parts = _split(rendered, marks, contents)
            if "".join(text for text, _ in parts) == real:
                return parts
        raise DataError(
            "the model's chat template drops or changes the text of a message; use --prompt"
        )

    def _render(self, messages: Sequence[Message], contents: list[str], generate: bool) -> str:
        filled = [
            {**message, "content": content}
            for message, content in zip(messages, contents, strict=True)
        ]
        try:
            return self._template.render(
                messages=filled, add_generation_prompt=generate, **self._special
            )
        except Exception as error:  # a template is a program, and may fail like one
            raise DataError(f"the model's chat template: {error}") from None


def _raise(message: str) -> Any:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _split(rendered: str, marks: list[str], contents: list[str]) -> list[Part]:
    by_mark = dict(zip(marks, contents, strict=True))
    pieces = re.split("(" + "|".join(map(re.escape, marks)) + ")", rendered)
    return [(by_mark.get(piece, piece), piece not in by_mark) for piece in pieces if piece]


def fill(form: str, **values: str) -> list[Part]:
    """Put ``values`` into a format like "Problem: {problem}\\n"; other braces stay as they are."""
    names = "|".join(map(re.escape, values))
    pieces = re.split(r"(\{(?:" + names + r")\})", form)
    return [
        (values[piece[1:-1]], False)
        if piece[:1] == "{" and piece[1:-1] in values
        else (piece, True)
        for piece in pieces
        if piece
    ]


class PromptEncoder:
    """Parts to token ids; one per model, because it compiles the model's special tokens."""

    def __init__(self, vocabulary: ChatVocabulary) -> None:
        self._vocabulary = vocabulary
        self._special = vocabulary.special_tokens()
        longest_first = sorted(self._special, key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(f"({pattern})") if pattern else None

    @property
    def puts_start(self) -> bool:
        """Whether a beginning-of-text token comes before every text."""
        return bool(self._vocabulary.bos)

    def ids(self, parts: Sequence[Part]) -> tuple[int, ...]:
        """Token ids of ``parts``, after one beginning-of-text token if the model uses one."""
        ids = self.plain(parts)
        bos = self._vocabulary.bos
        return ids if bos and ids[:1] == bos else bos + ids

    def plain(self, parts: Sequence[Part], starts: bool = True) -> tuple[int, ...]:
        """Token ids of ``parts`` and nothing else.

        Plain text between two special tokens is tokenised in one piece, wherever it came from, so
        that tokens merge as they did when the model was trained.

        Args:
            starts: false where ``parts`` follow a token of text: no space is put before them.
        """
        ids: list[int] = []
        plain = ""
        for text, may_be_special in parts:
            pieces = [text]
            if may_be_special and self._pattern is not None:
                pieces = self._pattern.split(text)
            for place, piece in enumerate(pieces):
                if place % 2 == 0:
                    plain += piece
                    continue
                ids += self._text(plain, starts or bool(ids))
                ids.append(self._special[piece])
                plain = ""
        ids += self._text(plain, starts or bool(ids))
        return tuple(ids)

    def _text(self, text: str, starts: bool) -> tuple[int, ...]:
        if not text:
            return ()
        exact = None if starts else self._vocabulary.tokenize_exact(text)
        return self._vocabulary.tokenize(text) if exact is None else exact


class Prompter:
    """Problems to prompts: by the model's chat template, or by a plain format.

    Args:
        template: the GGUF's chat template, or None.
        form: the user's format with {problem} in it; it takes precedence over the template.
        system: text of a system message (chat templates only).
        special: texts of special tokens that templates name (bos_token, eos_token).
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        *,
        template: str | None,
        form: str | None,
        system: str | None,
        special: Mapping[str, str],
    ) -> None:
        self._encoder = encoder
        self.system = system
        self._form = form
        self._start = special.get("bos_token", "") if encoder.puts_start else ""
        self._chat: ChatTemplate | None = None
        if form is None and template:
            self._chat = ChatTemplate(template, special)
        elif form is None:
            self._form = DEFAULT_FORMAT
        if self._form is not None and PROBLEM not in self._form:
            raise UsageError("--prompt: the format needs {problem} in it")
        if system is not None and self._chat is None:
            raise UsageError("--system goes with a chat template; this prompt has none")
        self.identity = f"chat:{digest('template', template)}" if self._chat else self._form
        """The layout as evidence stores it: the format itself, or a chat template's hash."""

    def laid_out(self, problem: str, messages: Sequence[Message] | None = None) -> str | None:
        """The prompt as text, with {problem} in place of the problem: what comes before an answer
        where the whole is trained on as plain text. None where ``identity`` is that text already.

        The beginning-of-text token that the vocabulary puts first is left out: trainers' tokenisers
        put it there, too. Where {problem} cannot stand for the problem, as in a template that
        strips it, the text holds the problem itself; None where that has {problem} in it. Raises
        DataError.
        """
        parts = self._parts(problem, messages)
        whole = "".join(text for text, _ in parts).removeprefix(self._start)
        form = "".join(PROBLEM if part == (problem, False) else part[0] for part in parts)
        for text in (form.removeprefix(self._start), whole):
            if text.replace(PROBLEM, problem) == whole:
                return None if text == self.identity else text
        return None

    @property
    def takes_turns(self) -> bool:
        """Whether a conversation can be laid out, not just one text."""
        return self._chat is not None

    def prompt(self, problem: str, messages: Sequence[Message] | None = None) -> tuple[int, ...]:
        """Token ids of the prompt. A record's own chat, ``messages``, is used instead of
        ``problem``."""
        return self._encoder.ids(self._parts(problem, messages))

    def _parts(self, problem: str, messages: Sequence[Message] | None) -> list[Part]:
        if self._chat is None:
            assert self._form is not None
            return fill(self._form, problem=problem)
        chat = list(messages or [{"role": "user", "content": problem}])
        if self.system is not None and not any(m["role"] == "system" for m in chat):
            chat.insert(0, {"role": "system", "content": self.system})
        return self._chat.parts(chat)
