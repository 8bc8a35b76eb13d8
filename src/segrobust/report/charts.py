"""Charts as inline SVG: drawn for light and dark pages, told apart without colours, and readable as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 16, 14, 46
SERIES = 6
"""Colours, dashes and markers that there are; more lines could not be told apart."""
DASHES = ("", "7 4", "2 4", "10 4 2 4", "4 2", "1 3")


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: in the legend.
        points: ``(x, y, low, high)``; the last two None where there is no interval.
    """

    name: str
    points: Sequence[tuple[float, float, float | None, float | None]]


@dataclass(frozen=True)
class _Frame:
    """From numbers to pixels; y is in [0, 1], upwards."""

    high_x: float
    high_y: float = 1.0
    height: int = HEIGHT

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / (self.high_x or 1)

    def y(self, value: float) -> float:
        return TOP + (self.height - TOP - BOTTOM) * (1 - value / (self.high_y or 1))


def curve(lines: Sequence[Line], title: str, x_label: str, y_label: str) -> str:
    """IoU against epsilon: a line for each attack, with its intervals.

    Args:
        lines: at most :data:`SERIES` are drawn; y in [0, 1].
        title: what a screen reader says first.
        x_label: under the axis.
        y_label: beside it.
    """
    lines = lines[:SERIES]
    ticks = sorted({x for line in lines for x, *_ in line.points} | {0.0})
    frame = _Frame(max(ticks))
    parts = [_y_axis(frame, [0, 0.25, 0.5, 0.75, 1], y_label), _x_axis(frame, ticks, x_label)]
    for number, line in enumerate(lines):
        parts.append(_line(frame, line, number))
    told = [f"{line.name}: " + ", ".join(f"{y:.3f} at {x:g}" for x, y, *_ in line.points) for line in lines]
    return _svg(HEIGHT + 8 + 20 * len(lines), title, "; ".join(told), [*parts, _legend([line.name for line in lines])])


def _line(frame: _Frame, line: Line, number: int) -> str:
    where = [(frame.x(x), frame.y(y)) for x, y, *_ in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
    parts = [f'<polyline class="s{number}" points="{path}" stroke-dasharray="{DASHES[number]}"/>']
    for x, _, low, high in line.points:
        if low is not None and high is not None:
            at = frame.x(x)
            parts.append(
                f'<path class="s{number} whisker" d="M{at:.1f},{frame.y(low):.1f}V{frame.y(high):.1f}'
                f'M{at - 4:.1f},{frame.y(low):.1f}h8M{at - 4:.1f},{frame.y(high):.1f}h8"/>'
            )
    return "".join(parts + [_marker(x, y, number) for x, y in where])


def histogram(groups: Sequence[tuple[str, Sequence[float]]], title: str, x_label: str, bins: int = 10) -> str:
    """How many photos have which score, for a few rows side by side.

    Args:
        groups: a name and the scores in [0, 1], for each row.
        title: what a screen reader says first.
        x_label: under the axis.
        bins: of equal width; 1 belongs to the last.
    """
    counts = [(name, _binned(values, bins)) for name, values in groups[:SERIES]]
    top = max([1, *(value for _, found in counts for value in found)])
    frame = _Frame(1.0, float(top))
    step = max(1, round(top / 4))
    parts = [_y_axis(frame, list(range(0, top + 1, step)), "photos"),
             _x_axis(frame, [i / 5 for i in range(6)], x_label)]  # fmt: skip
    width = (frame.x(1 / bins) - frame.x(0)) / (len(counts) or 1)
    for number, (_, found) in enumerate(counts):
        for place, value in enumerate(found):
            if value:
                left, up = frame.x(place / bins) + number * width + 1, frame.y(value)
                parts.append(
                    f'<rect class="b{number}" x="{left:.1f}" y="{up:.1f}" width="{width - 2:.1f}" '
                    f'height="{frame.y(0) - up:.1f}"/>'
                )
    told = [
        f"{name}: " + ", ".join(f"{n} from {i / bins:g} to {(i + 1) / bins:g}" for i, n in enumerate(found) if n)
        for name, found in counts
    ]
    names = [name for name, _ in counts]
    return _svg(HEIGHT + 8 + 20 * len(counts), title, "; ".join(told), [*parts, _legend(names, bars=True)])


def _binned(values: Sequence[float], bins: int) -> list[int]:
    found = [0] * bins
    for value in values:
        found[min(bins - 1, max(0, int(value * bins)))] += 1
    return found


def _y_axis(frame: _Frame, ticks: Sequence[float], label: str) -> str:
    lines = [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{frame.y(t):.1f}" y2="{frame.y(t):.1f}"/>'
        f'<text x="{LEFT - 8}" y="{frame.y(t) + 4:.1f}" text-anchor="end">{t:g}</text>'
        for t in ticks
    ]
    middle = frame.y(frame.high_y / 2)
    turned = f'transform="rotate(-90 14 {middle:.0f})"'
    return "".join(lines) + f'<text x="14" y="{middle:.0f}" text-anchor="middle" {turned}>{escape(label)}</text>'


def _x_axis(frame: _Frame, ticks: Sequence[float], label: str) -> str:
    bottom = frame.height - BOTTOM
    shown = [
        f'<text x="{frame.x(t):.1f}" y="{bottom + 18}" text-anchor="middle">{t:g}</text>' for t in ticks
    ]  # fmt: skip
    middle = (LEFT + WIDTH - RIGHT) / 2
    return "".join(shown) + f'<text x="{middle:.0f}" y="{bottom + 38}" text-anchor="middle">{escape(label)}</text>'


def _legend(names: Sequence[str], *, bars: bool = False) -> str:
    parts = []
    for number, name in enumerate(names):
        y = HEIGHT + 14 + 20 * number
        if bars:
            parts.append(f'<rect class="b{number}" x="{LEFT}" y="{y - 9}" width="22" height="11"/>')
        else:
            parts.append(
                f'<line class="s{number}" x1="{LEFT}" x2="{LEFT + 26}" y1="{y - 4}" y2="{y - 4}" '
                f'stroke-dasharray="{DASHES[number]}"/>' + _marker(LEFT + 13, y - 4, number)
            )
        parts.append(f'<text x="{LEFT + 34}" y="{y}">{escape(name)}</text>')
    return "".join(parts)


def _marker(x: float, y: float, number: int) -> str:
    """A shape of its own for each line."""
    shapes = (
        f"M{x - 4.5:.1f},{y:.1f}a4.5,4.5 0 1 0 9,0a4.5,4.5 0 1 0 -9,0z",
        f"M{x - 4:.1f},{y - 4:.1f}h8v8h-8z",
        f"M{x:.1f},{y - 5.5:.1f}l5.5,9.5h-11z",
        f"M{x:.1f},{y - 6:.1f}l5,6l-5,6l-5,-6z",
        f"M{x:.1f},{y + 5.5:.1f}l5.5,-9.5h-11z",
        f"M{x - 5:.1f},{y:.1f}h10M{x:.1f},{y - 5:.1f}v10",
    )
    return f'<path class="m{number}" d="{shapes[number]}"/>'


def _svg(height: int, title: str, told: str, parts: Sequence[str]) -> str:
    """The chart; its numbers are its description, so that it can be listened to."""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label={quoteattr(f"{title}. {told}")} '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title><desc>{escape(told)}</desc>'
        + "".join(parts)
        + "</svg>"
    )
