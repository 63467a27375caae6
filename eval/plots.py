"""Plots of a report as inline SVG: intervals, precision against recall, reliability. They know numbers and names, and escape
every name; colours and fonts belong to the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

from eval.bootstrap import Interval

WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 12, 42
Point = tuple[float, float]


def interval_plot(name: str, figures: Mapping[str, tuple[int, Interval]]) -> Markup:
    """A figure of every system as a dot with its interval; `figures`: system -> (number of its colour, interval)."""
    row, left, right, bottom = 30, 118, 62, 26
    height = TOP + row * len(figures) + bottom
    most = max(_round_up(max((each.high for _, each in figures.values()), default=1.0)), 0.05)

    def x(value: float) -> float:
        return left + (WIDTH - left - right) * value / most

    parts = [
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{height - bottom}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{height - bottom + 18}" text-anchor="middle">{tick:.4g}</text>'
        for tick in (most * step / 5 for step in range(6))
    ]
    for number, (system, (colour, each)) in enumerate(figures.items()):
        y = TOP + row * (number + 0.5)
        parts.append(
            f'<g class="series c{colour}"><text class="label" x="{left - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(system)}'
            f'</text><line class="whisker" x1="{x(each.low):.1f}" x2="{x(each.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle cx="{x(each.value):.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text class="value" x="{WIDTH - right + 12}" y="{y + 4:.1f}">{each.value:.3f}</text></g>'
        )
    return _svg(parts, height, f"{name} of every system with its interval")


def curve_plot(
    lines: Mapping[str, tuple[int, Sequence[Point]]],
    x_name: str,
    y_name: str,
    *,
    dots: bool = False,
    diagonal: bool = False,
    x_most: float = 1.0,
) -> Markup:
    """A line of points (x, y) in 0..1 for every system; the first system is drawn last, on top."""

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / x_most

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value

    parts = []
    for step in range(6):
        share = step / 5
        below = HEIGHT - BOTTOM + 18
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>'
            f'<line class="grid" x1="{x(share * x_most):.1f}" x2="{x(share * x_most):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.1f}</text>'
            f'<text class="tick" x="{x(share * x_most):.1f}" y="{below}" text-anchor="middle">{share * x_most:.2g}</text>'
        )
    if diagonal:
        parts.append(f'<line class="diagonal" x1="{x(0):.1f}" y1="{y(0):.1f}" x2="{x(1):.1f}" y2="{y(1):.1f}"/>')
    for system, (colour, points) in reversed(list(lines.items())):
        path = " ".join(f"{x(each[0]):.1f},{y(each[1]):.1f}" for each in points)
        marks = "".join(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3"/>' for a, b in points) if dots or len(points) == 1 else ""
        named = f"<title>{escape(system)}</title>"
        parts.append(f'<g class="series c{colour}">{named}<polyline points="{path}"/>{marks}</g>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text class="axis" x="{middle_x:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>')
    parts.append(
        f'<text class="axis" x="12" y="{middle_y:.0f}" text-anchor="middle" transform="rotate(-90 12 {middle_y:.0f})">'
        f"{escape(y_name)}</text>"
    )
    return _svg(parts, HEIGHT, f"{y_name} against {x_name}")


def _round_up(value: float) -> float:
    """The next of 0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1: a scale that ends a little past the largest value."""
    return next((end for end in (0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0) if value <= end), 1.0)


def _svg(parts: Sequence[str], height: float, title: str) -> Markup:
    head = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
    return Markup(head + "".join(parts) + "</svg>")  # every name above is escaped
