"""What people type into forms: amounts of VIBES, whole numbers, days; what is left empty is None."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from mini_llm.wallet.limits import MAX_AMOUNT_BASE
from mini_llm.wallet.money import read_vibes
from router.people.errors import BadInput
from router.web.door import Form

_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_THOUSANDS: Final = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_S: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)


def amount_base(form: Form, name: str) -> int | None:
    """An amount of VIBES in base units; the thousands may be apart.

    Raises:
        BadInput: it is none.
    """
    text = _together(form.text(name, ""))
    if not text:
        return None
    try:
        amount = read_vibes(text)
    except ValueError:
        raise BadInput(name, "is an amount of VIBES such as 12.5, with six decimals at most") from None
    if amount > MAX_AMOUNT_BASE:
        raise BadInput(name, "is more than there can be")
    return amount


def number(form: Form, name: str) -> int | None:
    """A whole number.

    Raises:
        BadInput: it is none.
    """
    text = _together(form.text(name, ""))
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise BadInput(name, "is a whole number")
    return int(text)


def _together(text: str) -> str:
    """A number whose thousands are apart, without the commas. With a comma elsewhere it stays, and is none:
    half of the world writes 12,50 for twelve and a half."""
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text


def end_of_day_s(form: Form, name: str) -> int | None:
    """The end of a UTC day, unix seconds.

    Raises:
        BadInput: it is none.
    """
    text = form.text(name, "")
    if not text:
        return None
    day = day_of(text)
    if day is None:
        raise BadInput(name, "is a day such as 2027-01-31")
    return (day + 1) * _DAY_S


def day_of(text: str) -> int | None:
    """A day such as 2026-11-21 as UTC days since 1970, None if it is none."""
    if not _DAY.fullmatch(text):
        return None
    try:
        return (date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        return None


def day_label(day: int) -> str:
    """UTC days since 1970 as 21 Nov: below a bar, where the year is plain."""
    moment = _EPOCH + timedelta(day)
    return f"{moment.day} {moment:%b}"


def day_name(day: int) -> str:
    """UTC days since 1970 as 2026-11-21."""
    return (_EPOCH + timedelta(day)).isoformat()
