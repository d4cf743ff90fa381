r"""Words that announce a final answer: ``#### x``, a heading "Answer", "the answer is x" and so on.

What follows them is an answer only where it looks like one: "The answer is only valid for integers"
announces nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from stepkit.text.answer_marks import tidy, without_emphasis
from stepkit.text.sentences import sentence_ends, spans

MARK = r"[*_`]{0,3}"
NAME = (
    r"(?:(?:final|correct|right|best|exact|our)[ ]+)*(?:answer|ans\b"
    r"|(?<=final[ ])(?:result|solution)"
    r"|(?:(?<=correct[ ])|(?<=right[ ])|(?<=best[ ]))(?:option|choice))"
)
IS = (
    r"(?:is|are|was|will[ ]be|would[ ]be|should[ ]be|must[ ]be|equals"
    r"|comes[ ]out[ ](?:to[ ]be|to|as)|turns[ ]out[ ]to[ ]be|becomes)\b"
)
DASH = r"[ ](?:-|\u2013|\u2014|->|\u2192)[ ]"
CHINESE = (
    r"(?:\u7b54\u6848(?:\u5e94\u8be5)?(?:\u662f|\u4e3a|\u70ba|[:\uff1a])|\u6545\u9009|\u6545\u7b54\u6848)"
    r"(?:\u662f|\u4e3a|[:\uff1a])?"
)
PHRASE = re.compile(
    rf"""(?P<label> ^[ \t>]*(?:[-*+][ ]+)?\#*[ ]*{MARK} (?:the[ ])?)? \b{NAME} {MARK}
        (?: (?:[ ]+ (?:to|for|of) [ ] [^.\n:=]{{1,80}}? )? [ ]+ {IS} {MARK} [ ]* :?
          | (?P<colon> [ ]* (?:\([^()\n]{{1,30}}\))? [ ]* {MARK} [ ]* (?:[:=\uff1a]|{DASH}))
        ) {MARK} \s*
    | {CHINESE} {MARK} \s*""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
PHRASE_WORD = re.compile(
    r"[Aa]nswer|ANSWER|\b[Aa]ns\b|\bANS\b|[Ff]inal |[Oo]ption|[Cc]hoice|\u7b54\u6848|\u6545\u9009"
)
LETTER = re.compile(rf"^[ \t]*{MARK}A(?:ns)?\.?{MARK}[ ]?:{MARK}[ \t]*(?=\S)", re.MULTILINE)
HEADING = re.compile(
    rf"^[ \t]*(?:\#{{1,6}}[ ]*{MARK}|\*\*|__)(?:the[ ]+)?(?:final[ ]+)?answer"
    rf"{MARK}[ ]*:?{MARK}[ ]*\#*[ \t]*\n\s*",
    re.MULTILINE | re.IGNORECASE,
)
HASHES = re.compile(r"^[ \t]*\#{4}(?!\#)[ \t]*(\S[^\n]*)", re.MULTILINE)
BOXED = re.compile(r"\\(?:boxed|fbox)")
NUMBER_LINE = re.compile(r"[-+$\u2212]*[\d.][\d.,/% ]*")
INLINE_HASHES = re.compile(r"(?<=\S)[ \t]*(?<!\#)\#{4}(?!\#)[ \t]*([-+$\u2212\\]*[\d.][^\n]*)")
IS_ANSWER = re.compile(
    r"(?:^|[.!?]\s+|\n)(?:(?:so|therefore|thus|hence)\b,?[ ]*)?(?P<text>[^.!?\n]{1,40}?)[ ]+is[ ]+"
    rf"(?:the[ ]+(?:(?:final|correct|right)[ ]+)?(?:answer|option|choice)|correct){MARK}[.!]?\s*\Z",
    re.IGNORECASE,
)
SPACE = re.compile(r"\s*")
DISPLAY = re.compile(r"\\\[.*?\\\]|\$\$.*?\$\$", re.DOTALL)

LEADING = re.compile(
    r"(?:therefore|thus|then|hence|simply|just|exactly|precisely|approximately|approx\.?|about"
    r"|roughly|around|nearly|only|indeed|also|now|clearly|obviously|equal[ ]to|given[ ]by"
    r"|found[ ]to[ ]be|a[ ]total[ ]of|in[ ]fact|actually|still|again|definitely|of[ ]course"
    r"|as[ ]follows|option|choice|letter|:)(?=[\s:,*$\\(\d])[\s:,]*",
    re.IGNORECASE,
)
CLAUSE = re.compile(
    r"\s*(?:[,;]\s+|\s[-\u2013\u2014]+\s|\u2014|\s)(?:because|since|which|where|as"
    r"[ ](?:required|desired|needed|expected|we|it|the|stated)|so[ ](?:that|we|the)|that[ ]is"
    r"|meaning|given[ ]that|(?:which[ ]is[ ])?(?:obtained|found)[ ]by)\b"
    r"|[,;]\s+(?:so|as|for|if|when|but|not|and[ ](?:the|we|it|he|she|they|this|that|so|then)|after"
    r"|in|with|assuming|making|who|it|we|the|then|thus|hence|therefore)\b"
    r"|,?\s+\(?i\.e\.|\s[-\u2013\u2014]+\s(?=[a-z])|\uff0c(?=\D)",
    re.IGNORECASE,
)
PROSE = re.compile(
    r"(?:valid|correct|wrong|incorrect|right|based|obtained|found|computed|calculated|derived|given"
    r"|that|what|how|whether|because|when|if|not|yet|unclear|clear|below|above|shown|supposed|likely"
    r"|probably|possibly|to|asked|required|now|always|never|consistent|reasonable|straightforward"
    r"|independent|expected|already|still|in[ ](?:the|this|fact|terms)|as|the[ ](?:same|following"
    r"|one|number|sum|total|value|amount|product|difference|smallest|largest|set|ratio|answer"
    r"|question|problem|length|area|cost|price)|determined|expressed|written|simplified|rounded"
    r"|supposedly|considered|left|also|choices?|key|format|should|must|it|this|there|we|you|i)\b",
    re.IGNORECASE,
)
WITH_NUMBER = re.compile(
    r"(?:valid|based|obtained|found|computed|calculated|derived|when|if|not|that|because|whether"
    r"|consistent|independent|in[ ]terms|to)\b",
    re.IGNORECASE,
)
FORMULA = re.compile(r"[\d\\$=^_+*/<>{}()\[\]\u03c0\u221a\u221e]")
MOST_WORDS = 6  # of an answer in words
LONGEST = 500  # characters of a sentence that holds an answer
MOST_TRIED = 20  # announcements from the end that are looked at
EXCLAIMED = re.compile(r"(?<=[\d.,])!+\Z")
CHECK = re.compile(
    r"[\s*_\#>.:()-]*(?:let(?:'s|[ ]us|[ ]me)?[ ]|to[ ]|we[ ]can[ ])?(?:now[ ])?(?:double[ -])?"
    r"(?:check|verif|proof|note|explanation|explain|i[ ]hope|substitut|justif|reason|remark|plug"
    r"|confirm|because|since|here|this[ ]is|in[ ]summary)",
    re.IGNORECASE,
)
CHECKED = re.compile(
    r"\b(?:check|verify|verifies|verifying|checking|test|confirm|recheck)"
    r"(?:[ ](?:our|the|this|my|that))?[ ]*\Z",
    re.IGNORECASE,
)
EQUATION = re.compile(r"\d[^\n=]{0,80}=|=[^\n=]{0,80}\d")


class Announcement(NamedTuple):
    """An answer that words announce: its text, and where it stands; ``kind``: hashes, heading,
    label ("Answer: x" at the start of a line) or phrase."""

    answer: str
    begin: int
    end: int
    kind: str


def announced(text: str) -> Announcement | None:
    """The last answer that is announced in ``text``."""
    places = [*_hashes(text), *_labels(text)]
    places += [
        (match.end(), "phrase" if match["label"] is None or match["colon"] is None else "label")
        for match in _phrases(text)
        if not CHECKED.search(text, max(0, match.start() - 30), match.start())
    ]
    for begin, kind in sorted(places, reverse=True)[:MOST_TRIED]:
        answer, end = _answer_at(text, begin)
        if answer:
            return Announcement(answer, begin, end, kind)
    reverse = IS_ANSWER.search(text, max(0, len(text) - 200))
    answer = tidy(_bare(reverse["text"])) if reverse else ""
    if reverse and _is_answer(answer) and " " not in answer:
        return Announcement(answer, reverse.start("text"), len(text), "phrase")
    return None


def first_announcement(text: str) -> int | None:
    """Where the first box, ``####``, heading or phrase is in ``text``, whatever it announces."""
    firsts = [pattern.search(text) for pattern in (BOXED, HASHES, INLINE_HASHES, HEADING, LETTER)]
    firsts.append(next(_phrases(text), None))
    return min((match.start() for match in firsts if match), default=None)


def _phrases(text: str) -> Iterator[re.Match[str]]:
    """The matches of PHRASE, looked for only in lines that have one of its words: that is quick."""
    end = 0
    for word in PHRASE_WORD.finditer(text):
        if word.start() < end:
            continue
        begin = text.rfind("\n", 0, word.start()) + 1
        end = text.find("\n", word.start())
        end = len(text) if end < 0 else end
        yield from PHRASE.finditer(text, begin, end)


def goes_on(rest: str) -> bool:
    """Whether the text after an announced answer works on: it has an equation, and is no check."""
    return EQUATION.search(rest) is not None and not CHECK.match(rest)


def _hashes(text: str) -> list[tuple[int, str]]:
    """Where the answers after ``####`` begin: on lines that hold a number or are the last, since
    such a line may also be a heading; and after a sentence."""
    if "####" not in text:
        return []
    end = len(text.rstrip())
    places = [m.start(1) for m in HASHES.finditer(text)
              if m.end() >= end or NUMBER_LINE.fullmatch(m[1].rstrip())]  # fmt: skip
    places += [m.start(1) for m in INLINE_HASHES.finditer(text)]
    return [(place, "hashes") for place in places]


def _labels(text: str) -> list[tuple[int, str]]:
    places = [m.end() for m in HEADING.finditer(text)]
    last_line = text.rstrip().rfind("\n") + 1
    letter = LETTER.match(text, last_line)
    return [(place, "heading") for place in places] + ([(letter.end(), "label")] if letter else [])


def _answer_at(text: str, begin: int) -> tuple[str, int]:
    """The answer that begins there, "" where it is none, and where its sentence ends: a displayed
    formula, else a sentence of at most one line."""
    begin = SPACE.match(text, begin).end()  # type: ignore[union-attr]  # matches always
    display = DISPLAY.match(text, begin)
    if display:
        return tidy(display[0]), display.end()
    end = text.find("\n", begin)
    line = text[begin : len(text) if end < 0 else end][:LONGEST]
    lead = "= "  # so that "42. Let me check" does not look like item 42 of a list
    ends = sentence_ends(lead + line)
    sentence = line[: ends[0] - len(lead)] if ends else line
    glued = re.search(r"(?<=\d)\.(?=[A-Z])", sentence)  # 5.Question
    sentence = sentence[: glued.start()] if glued else sentence
    answer = tidy(EXCLAIMED.sub("", tidy(_bare(sentence))))
    return (answer if _is_answer(answer) else ""), begin + len(sentence)


def _bare(sentence: str) -> str:
    """A sentence without emphasis, adverbs before the answer and a clause after it."""
    sentence = without_emphasis(sentence.strip()).strip()
    while leading := LEADING.match(sentence):
        sentence = sentence[leading.end() :]
    covered = spans(sentence)
    for clause in CLAUSE.finditer(sentence):
        inside = any(begin < clause.start() < end for begin, end in covered)
        if clause.start() and not inside and _balanced(sentence[: clause.start()]):
            return sentence[: clause.start()]
    return sentence


def _balanced(text: str) -> bool:
    return sum(map(text.count, "([{")) <= sum(map(text.count, ")]}"))


def _is_answer(words: str) -> bool:
    """Whether it looks like an answer rather than like the rest of a sentence."""
    if not words:
        return False
    if FORMULA.search(words):
        return not WITH_NUMBER.match(words)
    return not PROSE.match(words) and len(words.split()) <= MOST_WORDS
