"""How amounts, times, hashes and counts are written for people: filters of the templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from mini_llm.wallet.limits import BASE_PER_USD, BASE_PER_VIBES
from router.ledger.grants import LAST_S

_SHORT_FROM: Final = 14
_BASE_DIGITS: Final = 6
_FAR: Final = Markup("after the year 9999")


def vibes(amount_base: int) -> str:
    """An amount in VIBES: all of its digits, but no zeros behind the second, thousands apart."""
    whole, part = divmod(abs(amount_base), BASE_PER_VIBES)
    digits = f"{part:0{_BASE_DIGITS}d}".rstrip("0").ljust(2, "0")
    return f"{'−' if amount_base < 0 else ''}{whole:,}.{digits}"


def money(amount_base: int) -> Markup:
    """An amount as an element that carries its base units, for scripts and for people who copy."""
    return Markup(
        '<data class="money" value="{}">{} <abbr title="100 VIBES are 1 US dollar at par">VIBES</abbr></data>'
    ).format(amount_base, vibes(amount_base))


def usd(amount_base: int) -> str:
    """What an amount comes to in US dollars at par, cut to cents; below one cent, to four more digits."""
    sign, amount_base = ("−" if amount_base < 0 else ""), abs(amount_base)
    digits = 2 if amount_base >= BASE_PER_VIBES or amount_base == 0 else _BASE_DIGITS
    whole, part = divmod(amount_base * 10**digits // BASE_PER_USD, 10**digits)
    return f"{sign}${whole:,}.{part:0{digits}d}"


def percent(bps: int) -> str:
    """Basis points as a percentage: 3000 is `30 %`, 1250 is `12.5 %`."""
    whole, part = divmod(bps, 100)
    return f"{whole}{f'.{part:02d}'.rstrip('0') if part else ''} %"


def when(time_s: int) -> Markup:
    """A moment, unix seconds, in UTC."""
    if time_s > LAST_S:
        return _FAR
    moment = datetime.fromtimestamp(time_s, UTC)
    return Markup('<time datetime="{:%Y-%m-%dT%H:%M:%SZ}">{:%Y-%m-%d %H:%M} UTC</time>').format(
        moment, moment
    )


def day(time_s: int) -> Markup:
    """The day of a moment, unix seconds, in UTC."""
    if time_s > LAST_S:
        return _FAR
    moment = datetime.fromtimestamp(time_s, UTC)
    return Markup('<time datetime="{:%Y-%m-%d}">{:%Y-%m-%d}</time>').format(moment, moment)


def span(seconds: int) -> str:
    """A length of time in its largest fitting unit, rounded down: `3 days`, `1 hour`, `40 seconds`."""
    for unit_s, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit_s:
            count = seconds // unit_s
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def short(text: str) -> Markup:
    """A hash or an address, its middle left out; the whole is in the title, and is what a reader hears."""
    if len(text) <= _SHORT_FROM:
        return Markup('<code class="hex">{}</code>').format(text)
    cut = f"{text[:8]}…{text[-4:]}"
    return Markup('<code class="hex" title="{}">{}</code>').format(text, cut)


def word(value: int) -> str:
    """A field element or a root, as 32 bytes of hex."""
    return f"0x{value:064x}"


def count(number: int) -> str:
    """A whole number, thousands apart."""
    return f"{number:,}"


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    one.__name__: one for one in (vibes, money, usd, percent, when, day, span, short, word, count)
}
