"""Plots as inline SVG: scales, axes, lines, points with whiskers, bars. Colours are classes; the page's style has them.

Coordinates are rounded to a tenth of a pixel, so that equal data give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.analysis.report.markup import element, text

MARKERS = {
    "circle": "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z",
    "diamond": "M0,-6.5L6.5,0L0,6.5L-6.5,0z",
    "square": "M-5,-5h10v10h-10z",
    "triangle": "M0,-6.5L6.2,5h-12.4z",
    "cross": "M-5,-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
}
LETTER_WIDTH = 7.4
"""Pixels of a letter of a label, on average."""
LABEL_HEIGHT = 15.0
"""Labels that would stand closer than this many pixels are moved apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """A linear map from data to pixels."""

    low: float
    high: float
    start: float
    """Pixel of `low`."""
    end: float
    """Pixel of `high`."""

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """At most about `most` round numbers within the scale, at least one."""
        rough = (self.high - self.low) / max(1, most)
        power = 10.0 ** math.floor(math.log10(rough))
        steps = [power * factor for factor in (0.5, 1, 2, 5, 10)]
        widest = next(number for number, step in enumerate(steps) if step >= rough * 0.999)
        # A scale may lie between two multiples of a step that is not much shorter than it.
        found = (self._multiples(step) for step in reversed(steps[: widest + 1]))
        return next(ticks for ticks in found if ticks)

    def _multiples(self, step: float) -> list[float]:
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 10) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A drawing with a frame: margins around the data, in pixels."""

    width: float
    height: float
    x: tuple[float, float]
    """Lowest and highest value of the horizontal axis."""
    y: tuple[float, float]
    left: float = 46
    right: float = 14
    top: float = 12
    bottom: float = 44
    parts: list[str] = field(default_factory=list)

    @property
    def across(self) -> Scale:
        """The horizontal scale."""
        return Scale(low=self.x[0], high=self.x[1], start=self.left, end=self.width - self.right)

    @property
    def up(self) -> Scale:
        """The vertical scale; pixels count downwards."""
        return Scale(low=self.y[0], high=self.y[1], start=self.height - self.bottom, end=self.top)

    def axes(self, x_title: str, y_title: str, x_ticks: dict[float, str], y_ticks: dict[float, str]) -> None:
        """Grid, tick labels and titles; the vertical title stands above its axis."""
        left, right, base = self.left, self.width - self.right, self.height - self.bottom
        for value, label in y_ticks.items():
            y = self.up(value)
            self.parts.append(line(left, y, right, y, "grid"))
            self.parts.append(label_at(left - 7, y + 4, label, "tick", anchor="end"))
        for value, label in x_ticks.items():
            self.parts.append(line(self.across(value), base, self.across(value), base + 5, "axis"))
            self.parts.append(label_at(self.across(value), base + 19, label, "tick", anchor="middle"))
        self.parts.append(line(left, base, right, base, "axis"))
        self.parts.append(label_at((left + right) / 2, self.height - 6, x_title, "title", anchor="middle"))
        if y_title:
            self.parts.append(label_at(4, self.top - 8, y_title, "title"))

    def curve(self, points: Sequence[tuple[float, float]], class_: str) -> None:
        """A line through points, which are data."""
        if len(points) > 1:
            path = "L".join(f"{pixel(self.across(x))},{pixel(self.up(y))}" for x, y in points)
            self.parts.append(element("path", d=f"M{path}", class_=f"line {class_}"))

    def whisker(self, x: float, low: float, high: float, class_: str) -> None:
        """An interval, upright."""
        at = self.across(x)
        self.parts.append(line(at, self.up(low), at, self.up(high), f"whisker {class_}"))

    def point(self, x: float, y: float, class_: str, marker: str, hint: str) -> None:
        """A marker; `hint` is what a pointer that rests on it is told."""
        place = f"translate({pixel(self.across(x))},{pixel(self.up(y))})"
        shape = element("path", element("title", text(hint)), d=MARKERS[marker])
        self.parts.append(element("g", shape, transform=place, class_=f"point {class_}"))

    def bar(self, left: float, right: float, height: float, class_: str, hint: str) -> None:
        """A bar from the base line; left, right and height are data."""
        x, end = self.across(left), self.across(right)
        top, base = self.up(height), self.up(self.y[0])
        gap = 1.0 if end - x > 4 else 0.4
        attributes = {"x": pixel(x + gap / 2), "y": pixel(top), "height": pixel(base - top)}
        width = pixel(max(end - x - gap, 0.5))
        self.parts.append(
            element("rect", element("title", text(hint)), width=width, class_=f"bar {class_}", **attributes)
        )

    def label(
        self, x: float, y: float, words: str, class_: str, *, anchor: str = "start", dx: float = 0, dy: float = 0
    ) -> None:
        """Text beside a point of the data, dx and dy pixels away."""
        self.parts.append(label_at(self.across(x) + dx, self.up(y) + 4 + dy, words, class_, anchor=anchor))

    def labels_apart(self, labels: Iterable[tuple[float, float, str, str]], dx: float) -> None:
        """(x, y, words, class) labels to the right of their points, moved up and down until none covers another.

        A label that would leave the drawing stands over its line's end instead.
        """
        placed = sorted((self._label_place(*label, dx) for label in labels), key=lambda place: place[1])
        heights = spread([y for _, y, _, _, _ in placed], LABEL_HEIGHT, self.height - self.bottom)
        for (x, _, words, class_, anchor), y in zip(placed, heights, strict=True):
            self.parts.append(label_at(x, y + 4, words, class_, anchor=anchor))

    def _label_place(
        self, x: float, y: float, words: str, class_: str, dx: float
    ) -> tuple[float, float, str, str, str]:
        """Pixels, words, class and anchor of a label before it is moved."""
        across, up = self.across(x) + dx, self.up(y)
        if across + LETTER_WIDTH * len(words) <= self.width:
            return across, up, words, class_, "start"
        return (
            self.width,
            up - LABEL_HEIGHT if up - LABEL_HEIGHT > self.top else up + LABEL_HEIGHT,
            words,
            class_,
            "end",
        )

    def svg(self, name: str, description: str, class_: str = "") -> str:
        """The drawing; `description` is read to those who do not see it."""
        return element(
            "svg",
            "".join(self.parts),
            viewBox=f"0 0 {pixel(self.width)} {pixel(self.height)}",
            role="img",
            aria_label=description,
            class_=f"plot {name} {class_}".strip(),
        )


def spread(places: Sequence[float], gap: float, high: float) -> list[float]:
    """Rising places, moved down, or up from `high`, so that neighbours are at least `gap` apart."""
    moved = list(places)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    if moved and moved[-1] > high:
        moved[-1] = high
        for i in range(len(moved) - 2, -1, -1):
            moved[i] = min(moved[i], moved[i + 1] - gap)
    return moved


def pixel(value: float) -> str:
    """A coordinate, to a tenth."""
    return f"{round(value, 1) + 0.0:g}"


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line, in pixels."""
    return element("line", x1=pixel(x1), y1=pixel(y1), x2=pixel(x2), y2=pixel(y2), class_=class_)


def label_at(x: float, y: float, words: str, class_: str, *, anchor: str = "start") -> str:
    """Text, in pixels."""
    anchored = None if anchor == "start" else anchor
    return element("text", text(words), x=pixel(x), y=pixel(y), class_=class_, text_anchor=anchored)
