"""How lengths of time are written for people."""

from __future__ import annotations

from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def span(seconds: int) -> str:
    """A length of time in its two largest units: `2 h 5 min`, `40 s`."""
    sign, left = ("-" if seconds < 0 else ""), abs(seconds)
    parts = []
    for unit, unit_s in _UNITS:
        count, left = divmod(left, unit_s)
        if count:
            parts.append(f"{count} {unit}")
    if not parts or (left and len(parts) < 2):
        parts.append(f"{left} s")
    return sign + " ".join(parts[:2])
