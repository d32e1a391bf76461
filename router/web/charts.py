"""Bar charts as SVG without scripts; whoever cannot see them reads the same figures in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

WIDTH: Final = 720
HEIGHT: Final = 180
SERIES: Final = 6
"""Colours that the style sheet has; series beyond are drawn in the last."""
_GAP_PERCENT: Final = 25
_BOX: Final = Markup('<rect class="s{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>')


@dataclass(frozen=True)
class Bar:
    """One bar: what stands below it, and its stacked values, from 0 on, in the order of the series."""

    label: str
    values: tuple[int, ...]


@dataclass(frozen=True)
class Chart:
    """A chart of stacked bars.

    Attributes:
        title: what is shown, with its unit.
        series: names of the stacked values.
        bars: from left to right.
    """

    title: str
    series: tuple[str, ...]
    bars: Sequence[Bar]

    @property
    def highest(self) -> int:
        """The highest bar's sum: what the upper line of the drawing stands for."""
        return max((sum(bar.values) for bar in self.bars), default=0)

    @property
    def svg(self) -> Markup:
        """The drawing, hidden from screen readers: the table beside it says the same."""
        parts = [
            Markup('<svg class="chart" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">').format(
                WIDTH, HEIGHT
            )
        ]
        highest = self.highest or 1
        step = WIDTH // max(len(self.bars), 1)
        width = max(step * (100 - _GAP_PERCENT) // 100, 1)
        for place, bar in enumerate(self.bars):
            left, bottom = place * step + (step - width) // 2, HEIGHT
            for series, value in enumerate(bar.values):
                height = value * HEIGHT // highest
                if height == 0:
                    continue
                bottom -= height
                parts.append(_BOX.format(min(series, SERIES - 1), left, bottom, width, height))
        parts.append(Markup('<line x1="0" x2="{}" y1="0" y2="0"/>').format(WIDTH))
        parts.append(Markup('<line x1="0" x2="{}" y1="{}" y2="{}"/></svg>').format(WIDTH, HEIGHT, HEIGHT))
        return Markup("").join(parts)
