"""A line chart as one SVG file: axes, curves with interval bands, a legend; light and dark.

Text is escaped, colours follow the reader's colour scheme, and every curve also has a mark of its
own shape, so that nothing hangs on colour alone. Not a plotting library: what step-eval needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, log2, log10
from typing import NamedTuple
from xml.sax.saxutils import escape

from stepkit.schema import Json

LEFT, RIGHT, TOP, FLOOR = 60, 490, 24, 384
"""The edges of the plot; the legend is to its right."""

HEIGHT = 440
ROW = 22
CHARACTER = 7.5
"""Width of one, about."""

LIGHT = ("#0060a8", "#c04a00", "#00785a", "#a03a80", "#6a5a00", "#4a4a4a", "#7040c0", "#b00020")
DARK = ("#6db8ff", "#ff9a55", "#4fd3ab", "#f09ad0", "#e0c840", "#c0c0c0", "#b79bff", "#ff7a85")
SHAPES = (
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z",
    "M-4 -4H4V4H-4Z",
    "M0 -5L5 4H-5Z",
    "M0 -5L5 0L0 5L-5 0Z",
    "M0 5L5 -4H-5Z",
    "M-5 -1H-1V-5H1V-1H5V1H1V5H-1V1H-5Z",
)


class PlottedPoint(NamedTuple):
    """A point of a curve; low and high are equal to y where there is no interval."""

    x: float
    y: float
    low: float
    high: float


class PlottedCurve(NamedTuple):
    """A curve and its name; points by rising x."""

    name: str
    points: list[PlottedPoint]


class PlotFrame(NamedTuple):
    """Where the data lies: x on a logarithmic axis, y from ``bottom`` to ``top``."""

    first: float
    last: float
    bottom: float
    top: float

    def x(self, value: float) -> float:
        span = log2(self.last / self.first) if self.last > self.first else 1.0
        share = log2(value / self.first) / span if self.last > self.first else 0.5
        return LEFT + share * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        share = (value - self.bottom) / (self.top - self.bottom)
        return FLOOR - share * (FLOOR - TOP)


def curves_of(rows: Sequence[Json], over: str) -> list[PlottedCurve]:
    """The curves in rows of step-eval, in percent.

    Args:
        over: "k", or "tokens", for which rows without tokens are left out.
    """
    found: dict[str, list[PlottedPoint]] = {}
    for row in rows:
        if "k" not in row or "against" in row or over not in row or row[over] <= 0:
            continue
        keys = ("file", "part", "measure", "score", "aggregate", "map")
        named = [row[key] for key in keys if key in row]
        value: float = row["value"]
        low, high = row.get("low", value), row.get("high", value)
        point = PlottedPoint(row[over], 100 * value, 100 * low, 100 * high)
        found.setdefault(" ".join(named), []).append(point)
    return [PlottedCurve(name, sorted(points)) for name, points in found.items()]


def chart(curves: Sequence[PlottedCurve], over: str) -> str:
    """The SVG document of at least one curve."""
    frame = _frame(curves)
    longest = max(len(curve.name) for curve in curves)
    width = round(RIGHT + 60 + CHARACTER * longest)
    height = max(HEIGHT, TOP + ROW * (len(curves) + 1))
    parts = [*_head(width, height), *_axes(frame, curves, over)]
    parts += [_band(frame, curve, index) for index, curve in enumerate(curves)]
    for index, curve in enumerate(curves):
        parts += [*_line(frame, curve, index), *_legend(curve.name, index)]
    return "\n".join([*parts, "</svg>", ""])


def _frame(curves: Sequence[PlottedCurve]) -> PlotFrame:
    points = [point for curve in curves for point in curve.points]
    lowest = min(min(point.low, point.y) for point in points)
    highest = max(max(point.high, point.y) for point in points)
    step = _step(highest - lowest)
    bottom = floor(lowest / step) * step
    top = -floor(-highest / step) * step
    xs = [point.x for point in points]
    return PlotFrame(min(xs), max(xs), bottom, top if top > bottom else bottom + step)


def _step(span: float) -> float:
    """A round distance between some five lines."""
    rough = max(span, 1.0) / 5
    power = 10.0 ** floor(log10(rough))
    return next(power * nice for nice in (1, 2, 5, 10) if power * nice >= rough)


def _head(width: int, height: int) -> Iterator[str]:
    def colours(palette: Sequence[str]) -> str:
        return " ".join(
            f".c{i}{{stroke:{colour}}} .f{i}{{fill:{colour}}}" for i, colour in enumerate(palette)
        )

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">'
    )
    yield "<style>"
    yield "text{font:13px system-ui,sans-serif;fill:#222} .back{fill:#fff} .grid{stroke:#ddd}"
    yield ".axis{stroke:#666} .line{fill:none;stroke-width:2} .band{opacity:.13;stroke:none}"
    yield colours(LIGHT)
    yield "@media (prefers-color-scheme:dark){"
    yield "text{fill:#ddd} .back{fill:#161616} .grid{stroke:#333} .axis{stroke:#999}"
    yield colours(DARK)
    yield "}</style>"
    yield f'<rect class="back" width="{width}" height="{height}"/>'


def _axes(frame: PlotFrame, curves: Sequence[PlottedCurve], over: str) -> Iterator[str]:
    step = _step(frame.top - frame.bottom)
    for i in range(round((frame.top - frame.bottom) / step) + 1):
        value = frame.bottom + i * step
        y = frame.y(value)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for x in _ticks({point.x for curve in curves for point in curve.points}, frame):
        at = frame.x(x)
        yield f'<path class="axis" d="M{at:.1f} {FLOOR}v5"/>'
        yield f'<text x="{at:.1f}" y="{FLOOR + 20}" text-anchor="middle">{x:.6g}</text>'
    yield f'<path class="axis" d="M{LEFT} {FLOOR}H{RIGHT}"/>'
    label = "attempts (k)" if over == "k" else "tokens a problem"
    middle = (LEFT + RIGHT) / 2
    yield f'<text x="{middle:.1f}" y="{FLOOR + 42}" text-anchor="middle">{label}</text>'
    yield f'<text x="{LEFT}" y="{TOP - 9}" text-anchor="end">% right</text>'


def _ticks(xs: set[float], frame: PlotFrame) -> list[float]:
    """Of the values that occur those whose labels have room."""
    kept: list[float] = []
    for x in sorted(xs):
        room = CHARACTER * len(f"{x:.0f}") + 14
        if not kept or frame.x(x) - frame.x(kept[-1]) >= room:
            kept.append(round(x) if x >= 10 else x)
    return kept


def _band(frame: PlotFrame, curve: PlottedCurve, index: int) -> str:
    there = [(point.x, point.high) for point in curve.points]
    back = [(point.x, point.low) for point in reversed(curve.points)]
    return f'<path class="band f{index % len(LIGHT)}" d="M{_path(frame, there + back)}Z"/>'


def _line(frame: PlotFrame, curve: PlottedCurve, index: int) -> Iterator[str]:
    line = _path(frame, [(point.x, point.y) for point in curve.points])
    yield f'<path class="line c{index % len(LIGHT)}" d="M{line}"/>'
    for point in curve.points:
        yield _mark(frame.x(point.x), frame.y(point.y), index)


def _path(frame: PlotFrame, points: Sequence[tuple[float, float]]) -> str:
    return "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in points)


def _legend(name: str, index: int) -> Iterator[str]:
    x, y = RIGHT + 30, TOP + ROW * index
    yield f'<path class="line c{index % len(LIGHT)}" d="M{x - 12} {y}h24"/>'
    yield _mark(x, y, index)
    yield f'<text x="{x + 20}" y="{y + 4}">{escape(name)}</text>'


def _mark(x: float, y: float, index: int) -> str:
    colour, shape = index % len(LIGHT), SHAPES[index % len(SHAPES)]
    return f'<path class="f{colour}" transform="translate({x:.1f} {y:.1f})" d="{shape}"/>'
