"""How the operator's figures are written: as the page shows them first, and as the stream goes on to."""

from __future__ import annotations

from typing import Final

from router.web.units import vibes

NONE: Final = "–"


def amount(amount_base: int) -> str:
    """An amount with its unit."""
    return f"{vibes(amount_base)} VIBES"


def seconds(value: float | None) -> str:
    """A duration: `850 µs`, `12 ms`, `1.25 s`."""
    if value is None:
        return NONE
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def rate(count: int, span_s: float) -> str:
    """So many a second: `0.4`, `12`, `1,250`."""
    value = count / span_s
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def percent(part: int, whole: int) -> str:
    """A part as a percentage, `–` of nothing."""
    if not whole:
        return NONE
    value = 100 * part / whole
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.1f} %"
