"""What the words around numbers mean for arithmetic: scales, and words that go with a number.

Where two units of one kind meet, as in 2 hours + 30 minutes = 150 minutes, plain arithmetic says
nothing.
"""

from __future__ import annotations

from stepkit.text.units import KIND_OF, words

SCALES = words(
    "dozen hundred thousand million billion trillion k pair couple score percent half double twice"
    " triple"
)
"""They multiply the number before them."""

CONNECTING = words("per each of a an")
"""They may stand within a unit, as in miles per hour."""

NO_UNITS = words(
    "and or so then if when but is are was were be gives give equals equal makes make plus minus"
    " times divided multiplied by to from than as at with for let where since because thus hence"
    " therefore we he she it they this that which who i you our the more less now also not no only"
    " have has had get gets got left squared cubed mod modulo choose over into"
    " in on at all altogether together total"
)
"""Words that end an expression instead of naming what was counted."""

LEADING = words(
    "times plus minus by than from to over with less more twice thrice half third quarter double"
    " triple squared cubed power root log ln lg exp sin cos tan sec max min gcd lcm floor ceil abs"
    " mod modulo not if unless per x versus vs step day part case problem question example line"
    " equation exercise week month year chapter section no number option figure page round level"
    " item point team room minus negative and or remaining another"
)
"""Words before an expression that may belong to it."""

COUNTING = words(
    "half third quarter fourth fifth sixth tenth thirds quarters fifths twice double average mean"
    " sum product difference square root cube power multiple factor most rest remainder median"
    " quotient ratio percent percentage all dozen hundred thousand million each"
)
"""Words before "of" that make what follows a part of an expression."""

TRAILING = words(
    "r remainder rem mod modulo times plus minus squared cubed hundred thousand million billion"
    " dozen k point of and or to over percent half base multiplied divided x"
)
"""Words after a number that may belong to it."""


def need_conversion(units: frozenset[str]) -> bool:
    """Whether plain arithmetic may be wrong because of these units: two of one kind, speeds next to
    times or lengths, or a word that multiplies."""
    kinds = [KIND_OF[unit] for unit in units if unit in KIND_OF]
    mixed = "speed" in kinds and ("time" in kinds or "length" in kinds)
    return mixed or len(kinds) > len(set(kinds)) or bool(units & SCALES)
