"""When to stop drawing at a prefix: rules that look at the draws made there, in their order.

A rule is a text, ``NAME:PARAMETER=VALUE,...``, and stands as such in ``tree.rule``:

    first-success:most=N            at the first right draw
    wilson:half=W,z=Z,most=N        when Wilson's interval is at most W to either side
    drop:right=K,root=M,low=A,high=B,bound=C,most=N
                                    when it is decided whether the rate is less than A or more than
                                    B times that of a root with K of M right (drop_test.py)
    sprt:low=A,high=B,error=E,most=N
                                    when it is decided whether the rate is A or B

each with ``least=M``: not before M draws; and after N in any case. ``budget=1``: a budget of the
whole run granted the draws, and may have cut them short. Rules count decided draws, k
right of n; undecided ones are none of their business. Where so many were undecided that N could
not be reached, ``most`` is the number that was, and ``asked`` what it should have been.

``drop`` keeps its error at every value of the root. ``sprt`` stands in trees of before in place of
it: Wald's sequential probability ratio test (1945) with the bounds E and 1/E. By his inequality
each wrong decision has at most the chance E, where the rate is at or beyond A or B; (1 - E)/E and
its inverse, which are often seen, promise that only nearly. What N cuts short is undecided and no
error.

What a rule does to k / n is corrected in core/labels/stopping_bias.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import ceil, log

from stepkit.core.drop_test import DropTest
from stepkit.core.stats import Z_95, wilson

Stops = Callable[[int, int], bool]
"""(right, decided) -> stop here?"""

PARAMETERS: Mapping[str, Mapping[str, float]] = {
    "first-success": {},
    "wilson": {"half": 0.1, "z": Z_95},
    "drop": {"right": 0, "root": 1, "low": 0.0, "high": 0.0, "bound": 0.0},
    "sprt": {"low": 0.0, "high": 0.0, "error": 0.05},
}
"""Name of a rule -> its parameters, in addition to ``most`` and ``least``, and their defaults."""


COMMON_PARAMETERS = ("most", "least", "asked", "budget")
"""Parameters of all rules, which say from where on to where it looks, and what else ended it."""


def parse_rule(rule: str) -> tuple[str, dict[str, float]]:
    """Name and parameters. Raises ValueError for what is no rule."""
    name, _, rest = rule.partition(":")
    if name not in PARAMETERS:
        raise ValueError(f'no rule "{name}"')
    given = {**PARAMETERS[name]}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in {*PARAMETERS[name], *COMMON_PARAMETERS}:
            raise ValueError(f'rule "{name}" has no "{key}"')
        given[key] = float(value)
    if "most" not in given:
        raise ValueError(f'rule "{name}" needs "most"')
    return name, given


def format_rule(name: str, **parameters: float) -> str:
    """The rule as it stands in ``tree.rule``."""
    return f"{name}:" + ",".join(f"{key}={value:.15g}" for key, value in parameters.items())


@lru_cache(maxsize=4096)
def stop_condition(rule: str) -> Stops:
    """Where ``rule`` stops, asked after every decided draw. Raises ValueError for no rule."""
    name, given = parse_rule(rule)
    most, least = given["most"], given.get("least", 1)
    ends = _ends_of_drop(rule) if name == "drop" else STOP_CONDITIONS[name](given)
    return lambda k, n: n >= most or (n >= least and ends(k, n))


def _at_success(given: Mapping[str, float]) -> Stops:
    return lambda k, n: k > 0


def _when_narrow(given: Mapping[str, float]) -> Stops:
    half, z = given["half"], given["z"]

    def narrow(k: int, n: int) -> bool:
        low, high = wilson(k, n, z)
        return high - low <= 2 * half

    return narrow


def _when_decided(given: Mapping[str, float]) -> Stops:
    return lambda k, n: sprt_decision(given, k, n) is not None


def _ends_of_drop(rule: str) -> Stops:
    test = _drop_test(rule)
    return lambda k, n: test.decision(k, n) is not None


@lru_cache(maxsize=4096)
def _drop_test(rule: str) -> DropTest:
    """The test of a rule ``drop``, with the boundaries that it worked out so far."""
    return DropTest(parse_rule(rule)[1])


STOP_CONDITIONS: Mapping[str, Callable[[Mapping[str, float]], Stops]] = {
    "first-success": _at_success,
    "wilson": _when_narrow,
    "sprt": _when_decided,
}


def sprt_decision(given: Mapping[str, float], k: int, n: int) -> bool | None:
    """The decision of the ``sprt`` with these parameters: True for the rate ``low``, False for
    ``high``, None when it does not know yet."""
    found, bound = log_likelihood_ratio(given, k, n), -log(given["error"])
    return None if -bound < found < bound else found > 0


def log_likelihood_ratio(given: Mapping[str, float], k: int, n: int) -> float:
    """Log-likelihood ratio of the rates ``low`` and ``high`` after k right of n draws."""
    low, high = given["low"], given["high"]
    return k * log(low / high) + (n - k) * log((1 - low) / (1 - high))


def is_lost(rule: str, k: int, n: int) -> bool | None:
    """The result of a test that stopped at k right of n: is the prefix lost, as far as it asked?

    ``first-success``: True when all of ``most`` draws were wrong. ``drop``: True for a drop.
    ``sprt``: True for the low rate. None when it did not come to an end, or asks nothing
    (``wilson``). Raises ValueError.
    """
    name, given = parse_rule(rule)
    if name == "drop":
        return _drop_test(rule).decision(k, n)
    if name == "sprt":
        return sprt_decision(given, k, n)
    if name != "first-success" or (k == 0 and n < given.get("asked", given["most"])):
        return None
    return k == 0


def is_probably_lost(rule: str, k: int, n: int) -> bool:
    """``lost``, or where the test did not come to an end the likelier of its two answers."""
    found = is_lost(rule, k, n)
    if found is not None:
        return found
    name, given = parse_rule(rule)
    if name == "drop":
        return bool(n) and _drop_test(rule).leans(k, n)
    return k == 0 if name == "first-success" else log_likelihood_ratio(given, k, n) > 0


def with_parameters(rule: str, **changes: float) -> str:
    """The rule with other values of some parameters."""
    name, given = parse_rule(rule)
    return format_rule(name, **(given | changes))


def with_times_the_draws(number: int, rule: str) -> str:
    """The rule with so many times as many draws at most."""
    return with_parameters(rule, most=number * parse_rule(rule)[1]["most"])


def extends(rule: str, old: str) -> bool:
    """Whether draws stopped by ``old`` and then drawn on by ``rule`` are just those of ``rule``:
    the two differ in nothing but how many draws they allow, and from where on they look. A test for
    a drop may ask for more evidence, too: it then stops nowhere before the other did."""
    bounds = [*COMMON_PARAMETERS]
    try:
        (name, given), (before, held) = parse_rule(rule), parse_rule(old)
    except ValueError:
        return False
    if given.get("bound", 0) >= held.get("bound", 0):
        bounds.append("bound")
    ours = {key: value for key, value in given.items() if key not in bounds}
    return name == before and ours == {key: v for key, v in held.items() if key not in bounds}


def has_budget(rule: str) -> bool:
    """Was ``rule`` subject to a budget of the run?"""
    try:
        return bool(parse_rule(rule)[1].get("budget"))
    except ValueError:
        return False


def draws_before_stop(rule: Stops, k: int, n: int) -> int:
    """How many draws can be made at once, k right of n being there: none of them is one too many.

    The smallest number after which the rule may stop, whatever they turn out to be; 0 where it
    stopped.
    """
    if n and rule(k, n):
        return 0
    more = 1
    while not any(rule(k + right, n + more) for right in range(more + 1)):
        more += 1
    return more


def draws_to_rule_out(value: float, error: float) -> int:
    """Draws after which a prefix of this value has shown a success, but for the chance ``error``.

    The smallest n with (1 - value)^n <= error: the length of a sequential test of "value or more"
    against "none" that stops at the first success and is never wrong about a success.
    """
    return ceil(log(error) / log(1 - value) - 1e-9)


def lead_to_decide(odds: float, error: float) -> int:
    """By how many discordant pairs one of two prefixes must lead to be called the better one.

    Wald's sequential test of two rates (Sequential Analysis, 1947, section 6.2): draws are paired
    in order, and pairs in which just one is right are Bernoulli with the odds ratio of the two
    rates as odds. The test of ``odds`` against 1/odds stops at log(1/error)/log(odds) (bounds as in
    ``sprt``), whatever the rates themselves are.
    """
    return ceil(-log(error) / log(odds) - 1e-9)


def expected_draws(rule: Stops, rate: float) -> float:
    """Expected number of draws under ``rule`` when each is right with chance ``rate``. Exact."""
    total, chance, n = 0.0, {0: 1.0}, 0
    while chance:
        n += 1
        onward: dict[int, float] = {}
        for k, p in chance.items():
            total += p
            for right, q in ((k + 1, rate), (k, 1 - rate)):
                if q and not rule(right, n):
                    onward[right] = onward.get(right, 0.0) + p * q
        chance = onward
    return total
