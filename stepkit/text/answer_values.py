r"""What kind of thing a final answer is, read from its normal form (answer_spelling.py).

In this order: number, percentage, choice, numeral with a base, time of day, ratio, matrix, sequence
with dots, several answers ("3 and 5"), named value ("x = 5"), interval or inequality, set, tuple,
quantity with a unit, words, sentence; what is left is an expression, for algebra.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from stepkit.text.answer_spelling import ROW, normal_form
from stepkit.text.number_sets import NumberSet, intervals_of
from stepkit.text.number_spelling import Number, number
from stepkit.text.splitting import split_top, wrapped
from stepkit.text.unit_conversion import DOLLAR, Unit, scaled, unit

DEEPEST = 6  # kinds within kinds
MOST_WORDS = 3  # of one of several answers in words
LONGEST = 1000  # characters of what is looked at part by part


@dataclass(frozen=True)
class Value:
    """An answer that was read; ``text`` is its normal form."""

    text: str


@dataclass(frozen=True)
class Plain(Value):
    """A plain number."""

    number: Number


@dataclass(frozen=True)
class Percentage(Value):
    value: Value


@dataclass(frozen=True)
class Choice(Value):
    """A letter of a multiple choice, with the text of that choice or ""."""

    letter: str
    words: str


@dataclass(frozen=True)
class Based(Value):
    """A numeral with a base, as 12_3."""

    digits: str
    base: str


@dataclass(frozen=True)
class Clock(Value):
    """A time of day; ``half`` is "am", "pm" or ""."""

    parts: tuple[int, ...]
    half: str


@dataclass(frozen=True)
class Ratio(Value):
    parts: tuple[Value, ...]


@dataclass(frozen=True)
class Matrix(Value):
    rows: tuple[tuple[Value, ...], ...]


@dataclass(frozen=True)
class Elided(Value):
    """A sequence with dots: what stands before them, and after."""

    before: tuple[Value, ...]
    after: tuple[Value, ...]


@dataclass(frozen=True)
class Several(Value):
    """Several answers: ``kind`` is list ("3 and 5"), set ({3, 5}) or tuple ((3, 5), <3, 5>)."""

    kind: str
    items: tuple[Value, ...]


@dataclass(frozen=True)
class Named(Value):
    name: str
    value: Value


@dataclass(frozen=True)
class Region(Value):
    """Intervals, written as such or as an inequality of ``name``."""

    intervals: NumberSet


@dataclass(frozen=True)
class Quantity(Value):
    """A value with a unit; ``sure`` is false of a letter that may be a variable."""

    value: Value
    unit: Unit
    sure: bool


@dataclass(frozen=True)
class Words(Value):
    """Words without numbers and formulas."""


@dataclass(frozen=True)
class Sentence(Value):
    """Words with numbers in them."""

    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Expression(Value):
    """A formula."""


PERCENT = re.compile(
    r"(?P<value>.*[\d}\])]) ?%(?: (?:of|more|less|in|per|increase|decrease|chance|off)\b.*)?"
)
LETTER = re.compile(
    r"(?:(?P<noun>option|choice|answer|letter) ?)?"
    r"(?:\( ?(?P<round>[A-Za-z]) ?\)|(?P<bare>[A-J]))(?P<mark>[.):]*)(?P<text> ?.*)",
    re.IGNORECASE | re.DOTALL,
)
BASED = re.compile(r"(\d[0-9A-Fa-f]*) ?_ ?(?:\{ ?(\w+) ?\}|(\w+))")
NUMERALS = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
            "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "sixteen": "16"}  # fmt: skip
CLOCK = re.compile(
    r"(\d{1,2})((?: ?: ?\d\d)*) ?"
    r"(?:(a|p)\. ?m\.?|(a|p)m\b|(noon|midnight)|(o'? ?clock)(?: ([ap])\.?m\.?)?)?"
    r"(?: in the (morning|afternoon|evening))?",
    re.IGNORECASE,
)
RATIO = re.compile(r"[^\s:]+(?: ?: ?[^\s:]+)+")
MATRIX = re.compile(
    r"[\[(]? ?\\begin\{(?P<env>[pbBv]?matrix|smallmatrix|array)\*?\}(?:(?<=array\})\{[^{}]*\})?"
    r"(?P<body>.*?)\\end\{(?P=env)\*?\} ?[\])]?"
)
NAME = re.compile(
    r"(?:\\?[A-Za-z]+(?:_(?:\w|\{[^{}]*\}))?'*"
    r"(?: ?\( ?[^()=]* ?\)| ?\^ ?\{-1\}\([^()=]*\))?|\([^()=]*\)"
    r"|\\text\{\w\}|[A-Za-z][A-Za-z ]*)"
)
MEMBER = re.compile(r"(?P<name>[^=]*?) ?\\in (?P<of>.*)")
COMMAND = re.compile(r"\\(?!text\{)[A-Za-z]+|[=<>^_{}]")
WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}(?![A-Za-z])")
FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "exp",
        "sqrt",
        "max",
        "min",
        "gcd",
        "lcm",
        "mod",
        "arcsin",
        "arccos",
        "arctan",
    ]
)
WORDS = re.compile(r"[^\W\d_]+(?:[ '\u2019.,/-]+[^\W\d_]+)*[.!]?")
SHORT_WORDS = frozenset({"no", "yes", "up", "ok", "na", "n/a"})
UNIT_BEGIN = re.compile(
    r"(?<![\\A-Za-z])(?:[A-Za-z]{2,}|\\text\{[A-Za-z]\}|(?<=[\d}] )[mgshlLt](?![A-Za-z(=]))"
)
MONEY = re.compile(
    r"(?P<sign>[-+]?) ?(?:\$|(?P<other>[\u20ac\u00a3\u00a5])|USD?) ?(?P<value>[-+]?[\d.\\].*)"
)
COINS = {"\u20ac": "euro", "\u00a3": "quid", "\u00a5": "yen"}
BEFORE = re.compile(
    r"(?:either|both|exactly|approximately|about|approx\.?|roughly|only|just|equal to"
    r"|a total of|\\approx|\\sim|=|:)(?=[\s\d$\\(]) ?",
    re.IGNORECASE,
)
IN_WORDS = re.compile(r" ?\((?:[A-Za-z]+[ -]?)+\)$")
NUMBER_IN_TEXT = re.compile(r"(?<![\w.^_{])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w^])")
COMPOUND_PART = re.compile(r"\d[\d.]* ?[A-Za-z]{2,}")
COMPOUND = re.compile(rf"{COMPOUND_PART.pattern}(?:,? (?:and )?{COMPOUND_PART.pattern})+")
SEPARATORS = (" and ", " or ", ",", ";")
PLUS_MINUS_SIGN = re.compile(r"\\(?:pm|mp)(?![A-Za-z])|\+/-|\+-")
PLUS_MINUS = re.compile(
    r"(?P<before>.*?) ?(?P<sign>\\pm|\\mp|\+/-|\+-) ?(?P<after>[^\\]*(?:\\(?!pm|mp)[^\\]*)*)"
)


@lru_cache(8192)
def value_of(answer: str) -> Value:
    """The answer, read."""
    return read(normal_form(answer))


def read(form: str, depth: int = 0) -> Value:
    """The value of a normal form, in the order that the module states."""
    form = form.strip()
    if len(form) > LONGEST or depth > DEEPEST:
        return Expression(form)
    plain = number(form)
    if plain is not None:
        return Plain(form, plain)
    while (before := BEFORE.match(form)) and before.end() < len(form):
        form = form[before.end() :]
    form = IN_WORDS.sub("", form) if form[:1].isdigit() or form[:1] in "$\\" else form
    for reader in READERS:
        value = reader(form, depth)
        if value is not None:
            return value
    return Expression(form)


def _number(form: str, depth: int) -> Value | None:
    plain = number(form)
    return None if plain is None else Plain(form, plain)


def _percentage(form: str, depth: int) -> Value | None:
    match = PERCENT.fullmatch(form)
    return Percentage(form, read(match["value"], depth + 1)) if match else None


def _choice(form: str, depth: int) -> Value | None:
    match = LETTER.fullmatch(form)
    if match is None:
        return None
    letter, text = match["round"] or match["bare"], match["text"].strip()
    if match["bare"] and not match["bare"].isupper() and not match["noun"]:
        return None
    marked = match["round"] or match["mark"] or match["noun"]
    if text and not (match["round"] or (match["mark"] and match["text"][:1] == " ")):
        return None
    if (
        text
        and not match["noun"]
        and (text[0] in "+-*/=^,<>_([" or text.startswith(("\\c", "\\t")))
    ):
        return None  # a formula that begins with (a)
    return Choice(form, letter.upper() if marked else letter, text)


def _based(form: str, depth: int) -> Value | None:
    match = BASED.fullmatch(form)
    if match is None:
        return None
    base = (match[2] or match[3]).lower()
    return Based(form, match[1].lower(), NUMERALS.get(base, base))


def _clock(form: str, depth: int) -> Value | None:
    match = CLOCK.fullmatch(form)
    if match is None or not (match[2] or form.strip()[-1:].isalpha() or form.endswith(".")):
        return None
    parts = tuple(map(int, [match[1], *re.findall(r"\d\d", match[2])]))
    if parts[0] > 24 or any(part > 59 for part in parts[1:]):
        return None
    letter = (match[3] or match[4] or match[7] or "").lower()
    day = (match[8] or "").lower()
    half = letter + "m" if letter else {"": "", "morning": "am"}.get(day, "pm")
    if match[5]:
        half = "pm" if match[5].lower() == "noon" else "am"
    return Clock(form, parts if len(parts) > 1 else (*parts, 0), half)


def _ratio(form: str, depth: int) -> Value | None:
    if ":" not in form or not RATIO.fullmatch(form):
        return None
    parts = tuple(read(part, depth + 1) for part in form.split(":"))
    return Ratio(form, parts) if all(isinstance(part, Plain) for part in parts) else None


def _matrix(form: str, depth: int) -> Value | None:
    match = MATRIX.fullmatch(form)
    if match is None or match["env"] == "vmatrix" or "\\begin" in match["body"]:
        return None
    rows = [row for row in re.sub(r"\\hline", "", match["body"]).split(ROW) if row.strip()]
    cells = tuple(tuple(read(cell, depth + 1) for cell in row.split("&")) for row in rows)
    return Matrix(form, cells)


def _elided(form: str, depth: int) -> Value | None:
    if form.count("\\dots") != 1:
        return None
    kind = wrapped(form)
    inner = form[len(kind) : -len(kind)] if kind else form
    parts = split_top(inner, (",",))
    places = [at for at, part in enumerate(parts) if part.strip() == "\\dots"]
    if len(places) != 1:
        return None
    values = [read(part, depth + 1) for part in parts if part.strip()]
    return Elided(form, tuple(values[: places[0]]), tuple(values[places[0] + 1 :]))


def _list(form: str, depth: int) -> Value | None:
    parts = COMPOUND_PART.findall(form) if COMPOUND.fullmatch(form) else split_top(form, SEPARATORS)
    if len(parts) == 1:
        return _plus_minus(form, depth)
    if len(parts) < 2 or not all(part.strip() for part in parts):
        return None
    items = _items(parts, depth)
    if any(isinstance(item, Sentence) for item in items):
        return None
    if any(isinstance(item, Words) for item in items) and not all(
        isinstance(item, (Words, Choice)) and len(item.text.split()) <= MOST_WORDS for item in items
    ):
        return None
    names = {item.name for item in items if isinstance(item, Named)}
    if len(names) == 1:  # x = 3 or x = 5; x = 3, 5
        items = tuple(item.value if isinstance(item, Named) else item for item in items)
        return Named(form, names.pop(), Several(form, "list", items))
    return _summed(form, items) or Several(form, "list", items)


def _summed(form: str, items: tuple[Value, ...]) -> Value | None:
    """2 hours and 30 minutes, as one quantity."""
    total, powers = Fraction(0), set()
    for item in items:
        if not (isinstance(item, Quantity) and isinstance(item.value, Plain)) or item.unit.counted:
            return None
        total += item.value.number.value * item.unit.size
        powers.add((item.unit.powers, item.unit.size))
    if len({one for one, _ in powers}) != 1 or len(powers) != len(items):
        return None
    of = Unit(Fraction(1), powers.pop()[0], frozenset())
    return Quantity(form, Plain(form, Number(total, None)), of, True)


def _items(parts: list[str], depth: int) -> tuple[Value, ...]:
    values = (read(part, depth + 1) for part in parts)
    found: list[Value] = []
    for value in values:
        both = isinstance(value, Several) and value.kind == "list"
        found += value.items if both else [value]  # type: ignore[attr-defined]
    return tuple(found)


def _plus_minus(form: str, depth: int) -> Value | None:
    match = PLUS_MINUS.fullmatch(form)
    several = len(PLUS_MINUS_SIGN.findall(form)) != 1
    if match is None or several or wrapped(form) or "=" in form:
        return None
    before, after = match["before"], match["after"]
    if before.count("(") != before.count(")") or before.count("{") != before.count("}"):
        return None
    signs = "+-" if match["sign"] != "\\mp" else "-+"
    return Several(
        form, "list", tuple(read(f"{before}{sign}{after}".lstrip("+"), depth + 1) for sign in signs)
    )


def _named(form: str, depth: int) -> Value | None:
    parts = split_top(form, ("=",))
    if len(parts) < 2 or not all(part.strip() for part in parts) or "<" in form or ">" in form:
        return None
    name, value = parts[0].strip(), read(parts[-1], depth + 1)
    if NAME.fullmatch(name) and name not in ("e", "i", "\\pi"):
        return Named(form, name.replace(" ", ""), value)
    numeric = all(re.fullmatch(r"[\d\s.,+*/()$^{}-]|\\(?:cdot|times|frac|sqrt)", sign)
                  for sign in re.findall(r"\\[A-Za-z]+|.", name))  # fmt: skip
    return value if numeric and isinstance(value, (Plain, Quantity, Percentage)) else None


def _region(form: str, depth: int) -> Value | None:
    member = MEMBER.fullmatch(form)
    if member and (NAME.fullmatch(member["name"].strip()) or not member["name"].strip()):
        return read(member["of"], depth + 1)
    found = intervals_of(form)
    return Region(form, found) if found else None


def _bracketed(form: str, depth: int) -> Value | None:
    mark = wrapped(form)
    if not mark:
        return None
    closing = {"\\{": "\\}", "\\langle": "\\rangle"}.get(mark, " ")
    inner = form[len(mark) : -len(closing)].strip()
    if not inner:
        return Several(form, "set", ()) if mark == "\\{" else None
    parts = split_top(inner, (",", ";"))
    if mark == "\\{":
        if re.search(r"\\mid|[|:]", inner):
            return None  # by a condition
        return Several(form, "set", _items(parts, depth))
    if len(parts) == 1:
        return read(inner, depth + 1) if mark == "(" else None
    return Several(form, "tuple", _items(parts, depth)) if all(map(str.strip, parts)) else None


def _money(form: str, depth: int) -> Value | None:
    money = MONEY.fullmatch(form)
    if money is None:
        return None
    value = read(money["sign"] + money["value"], depth + 1)
    if isinstance(value, Quantity):  # $5 per hour
        of = value.unit if dict(value.unit.powers).get("money") else _times_money(value.unit)
        return Quantity(form, value.value, of, True)
    sign = money["other"]
    coin = unit(COINS[sign]) if sign else DOLLAR
    known = coin is not None and isinstance(value, (Plain, Expression))
    return Quantity(form, value, coin, True) if known else None  # type: ignore[arg-type]


def _quantity(form: str, depth: int) -> Value | None:
    begin = UNIT_BEGIN.search(form)
    if begin is None or not begin.start() or begin[0].lower() in FUNCTIONS:
        return None
    head, tail = form[: begin.start()].strip(), form[begin.start() :]
    if head.count("{") != head.count("}") or head.count("(") != head.count(")"):
        return None
    glued = form[begin.start() - 1] not in " }" and "\\text" not in begin[0]
    value = read(head.rstrip("-"), depth + 1)
    if not isinstance(value, (Plain, Expression)) or (COMMAND.match(head[-1:]) and head[-1] != "}"):
        return None
    factor, tail = scaled(tail)
    if factor > 1 and isinstance(value, Plain):
        value = Plain(form, Number(value.number.value * factor, None))
        if not tail:
            return value
    of = unit(tail)
    if of is None or (glued and not of.powers):
        return None
    sure = len(begin[0]) > 1
    return Quantity(form, value, of, sure) if of.powers or of.counted else value


def _times_money(of: Unit) -> Unit:
    return Unit(of.size, tuple(sorted((*of.powers, ("money", 1)))), of.counted)


def _counted(form: str, depth: int) -> Value | None:
    """Three apples."""
    first, _, rest = form.partition(" ")
    count = number(first) if first.isalpha() and rest else None
    of = unit(rest) if count and WORDS.fullmatch(rest) else None
    return Quantity(form, Plain(first, count), of, True) if count and of else None


def _words(form: str, depth: int) -> Value | None:
    if not WORDS.fullmatch(form):
        return None
    long = max(map(len, re.split(r"[^\w]+", form)))
    known = form.lower().rstrip(".!") in SHORT_WORDS
    return Words(form) if known or long >= (3 if form.isascii() else 2) else None


def _sentence(form: str, depth: int) -> Value | None:
    words = [word for word in WORD.findall(form) if word.lower() not in FUNCTIONS]
    if not words or re.search(r"\\begin|\\(?:left|frac\{[^}]*[a-z])", form):
        return None
    found = [number(match.lstrip("$")) for match in NUMBER_IN_TEXT.findall(form)]
    return Sentence(form, tuple({one.value: one for one in found if one}.values()))


READERS = (
    _number,
    _percentage,
    _choice,
    _based,
    _clock,
    _ratio,
    _matrix,
    _elided,
    _money,
    _region,
    _list,
    _named,
    _bracketed,
    _quantity,
    _counted,
    _words,
    _sentence,
)
