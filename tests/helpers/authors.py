"""What the authors of each family's code give their model, written from their scripts.

Whole rendered texts are tokenised at once with special tokens parsed, and positions are found by
searching for ids, as those scripts do: nothing here uses stepkit's layouts. So traces here must be
tame, without special tokens or markers in their texts.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence

import vocabularies
from jinja2 import Environment

from stepkit.model.local.llama import Model

Ids = list[int]
Beginnings = list[Ids]
"""For each step the ids up to the position that is read, that one included."""

LLAMA, QWEN = vocabularies.TEMPLATES
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
FOVER = (
    "** Problem **\n{problem}\n\n** Task **\nYour task is to evaluate the accuracy of each step in "
    "the provided solution to the above question. For each step, respond with "
    '"correct" if the reasoning is logically valid and mathematically sound, or if the step is a '
    "general statement or transition that does not contain reasoning. Respond with "
    '"incorrect" if the step includes any errors or flawed logic.\n\n** Sotluion **\n{first_step}'
)


class Tokenizer:
    """llama.cpp's own, asked for whole texts with their special tokens."""

    def __init__(self, model: Model) -> None:
        self._lib, self._vocab = model._lib, model._vocab

    def __call__(self, text: str) -> Ids:
        raw = text.encode()
        buffer = (ctypes.c_int32 * (len(raw) + 8))()
        count = self._lib.llama_tokenize(
            self._vocab, raw, len(raw), buffer, len(buffer), False, True
        )
        return list(buffer[:count])


def rendered(template: str, turns: Sequence[tuple[str, str]], generate: bool = False) -> str:
    """A conversation as the real chat template writes it, on the template's own date."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    messages = [{"role": role, "content": content} for role, content in turns]
    text: str = environment.from_string(vocabularies.template(template)).render(
        messages=messages, add_generation_prompt=generate, bos_token="<|begin_of_text|>"
    )
    return text


def numbered(steps: Sequence[str]) -> list[str]:
    return [f"Step {number}: {step}" for number, step in enumerate(steps, 1)]


def at(ids: Ids, marker: int) -> Beginnings:
    """Up to every occurrence of the marker."""
    return [ids[: place + 1] for place, token in enumerate(ids) if token == marker]


def before(ids: Ids, header: Sequence[int]) -> Beginnings:
    """Up to the end of every header that opens an assistant's turn."""
    size = len(header)
    ends = [at for at in range(size, len(ids) + 1) if ids[at - size : at] == list(header)]
    return [ids[:end] for end in ends]


def turns(first: str, steps: Sequence[str], label: str) -> list[tuple[str, str]]:
    """Each step a user's turn, each answered by the label."""
    texts = [first, *steps[1:]]
    return [turn for text in texts for turn in (("user", text), ("assistant", label))]


def apart(tokens: Tokenizer, start: Ids, steps: Sequence[str], separator: Ids) -> Beginnings:
    """Steps tokenised one by one, the separator's ids after each."""
    ids, found = list(start), []
    for step in steps:
        ids += tokens(step) + separator
        found.append(list(ids))
    return found


def math_shepherd(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    solution = "\n".join(f"{step} ки" for step in numbered(steps))
    return at([1, *tokens(f"{problem} {solution}")], 12902)


def rlhflow(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    text = rendered(LLAMA, turns(f"{problem} {steps[0]}", steps, "+"))
    return before(tokens(text), (128006, 78191, 128007, 271))


def fover_llama(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    first = FOVER.format(problem=problem, first_step=steps[0])
    text = rendered(LLAMA, turns(first, steps, "correct"))
    return before(tokens(text), (128006, 78191, 128007, 271))


def fover_qwen(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    first = FOVER.format(problem=problem, first_step=steps[0])
    text = rendered(QWEN, turns(first, steps, "correct"))
    return before(tokens(text), (151644, 77091, 198))


def math_psa(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    solution = "".join(f"{step} \n\n\n\n\n" for step in steps)
    return at(tokens(f"{problem} {solution}"), 76325)


def versaprm(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    solution = "".join(f"{step} \n\n\n\n" for step in steps)
    return at([128000, *tokens(f"{problem} \n\n{solution}")], 23535)


def er_prm(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    solution = "\n".join(f"{step} ки" for step in numbered(steps)).replace(" ки\n", " ки")
    return at([128000, *tokens(f"{problem} {solution}")], 116624)


def qwen_prm(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    answer = "<extra_0>".join(steps) + "<extra_0>"
    talk = [("system", BOXED), ("user", problem), ("assistant", answer)]
    return at(tokens(rendered(QWEN, talk)), 151651)


def reasonflux(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    answer = "<extra_0>".join(steps) + "<extra_0>"
    return at(tokens(rendered(QWEN, [("user", problem), ("assistant", answer)])), 151651)


def reasonflux_small(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    return [tokens(problem + "\n" + "".join(steps))]


def skywork(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    start = tokens("<|endoftext|>" + problem + "\n")
    return apart(tokens, start, [step.replace("\n", " ") for step in steps], [198])


def trl(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    return apart(tokens, tokens(problem), steps, tokens("\n"))


def reasoneval(tokens: Tokenizer, problem: str, steps: list[str], separator: str) -> Beginnings:
    """Separators are tokenised along, then taken out; places are counted in what is left."""
    text = f"Question:\n{problem}\nAnswer:\nLet's think step by step.\n{separator}"
    small = separator == "<s>"
    ids = ([1] if small else []) + tokens(text + "".join(step + separator for step in steps))
    divider = tokens(separator)[-1]
    places: list[int] = []
    left: Ids = []
    for place, token in enumerate(ids):
        if token == divider:
            places.append(place - 1 - len(places))
        else:
            left.append(token)
    left, places = ([1, *left], places[2:]) if small else (left, places[1:])
    assert len(places) == len(steps)
    return [left[: place + 1] for place in places]


def pqm(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    query = (
        "Below is an instruction that describes a task.\nWrite a response that appropriately "
        f"completes the request.\n\n### Instruction:\n{problem}\n\n### Response: Let's think step "
        "by step"
    )
    answer = " [PRM]\n".join(numbered(steps)) + " [PRM]"
    return at(tokens(f"{query}\n{answer}"), tokens("[PRM]")[-1])


def ovm(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    question = [1, *tokens(f"{problem}\n")]
    return [question + tokens("".join(steps[:count])) for count in range(1, len(steps) + 1)]


def alphamath(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    start = f"<question> {problem} </question>\n"
    return [[1, *tokens(start + "".join(steps[:count]))] for count in range(1, len(steps) + 1)]


def universal(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    answer = "There is no reference answer for this question."
    question = f"{problem}\n\n###\n\nThe reference answer is: {answer}"
    talk = [("system", "You are a helpful assistant."), ("user", question)]
    start = tokens(rendered(QWEN, talk, generate=True))
    counts = range(1, len(steps) + 1)
    return [start + tokens("\n\n".join(steps[:count]) + "\n\n") + [151645] for count in counts]


def actprm(tokens: Tokenizer, problem: str, steps: list[str]) -> Beginnings:
    system = (
        "You are a helpful and harmless assistant. You should think step-by-step and put your "
        "final answer within \\boxed{}."
    )
    start = rendered(QWEN, [("system", system), ("user", problem)], generate=True)
    solution = " \n\n".join(steps) + " \n\n"
    return at(tokens(start + solution), tokens(" \n\n")[0])


def implicit(
    tokens: Tokenizer,
    problem: str,
    steps: list[str],
    template: str,
    system: Sequence[tuple[str, str]],
) -> Beginnings:
    """Places index the log-probabilities, whose first is that of the second token."""
    parts = numbered(steps)

    def talk(count: int) -> str:
        messages = [("user", problem), ("assistant", "\n\n".join(parts[:count]))]
        return rendered(template, [*system, *messages])

    ids, found = tokens(talk(len(steps))), []
    for count in range(1, len(steps) + 1):
        text = talk(count).strip() + ("\n\n" if count != len(steps) else "")
        place = len(tokens(text)) - 2
        found.append(ids[: place + 2])
    return found


AUTHORS: dict[str, Callable[[Tokenizer, str, list[str]], Beginnings]] = {
    "math-shepherd": math_shepherd,
    "rlhflow": rlhflow,
    "fover-llama": fover_llama,
    "fover-qwen": fover_qwen,
    "math-psa": math_psa,
    "versaprm": versaprm,
    "er-prm": er_prm,
    "qwen2.5-math-prm": qwen_prm,
    "reasonflux-prm": reasonflux,
    "reasonflux-prm-1.5b": reasonflux_small,
    "skywork-o1-prm": skywork,
    "trl": trl,
    "pure": trl,
    "reasoneval-7b": lambda t, p, s: reasoneval(t, p, s, "<s>"),
    "reasoneval-34b": lambda t, p, s: reasoneval(t, p, s, "</s>"),
    "pqm": pqm,
    "ovm": ovm,
    "alphamath": alphamath,
    "universal-prm": universal,
    "actprm": actprm,
    "eurusprm": lambda t, p, s: implicit(t, p, s, QWEN, [("system", BOXED)]),
    "implicitprm": lambda t, p, s: implicit(t, p, s, LLAMA, []),
}
