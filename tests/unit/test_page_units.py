"""How times are written on pages."""

from __future__ import annotations

import pytest

from router.ledger.grants import LAST_S
from router.web.units import day, when


def test_times_up_to_the_end_of_the_calendar() -> None:
    assert ">9999-12-31<" in day(LAST_S)
    assert ">9999-12-31 23:59 UTC<" in when(LAST_S)


@pytest.mark.parametrize("time_s", [LAST_S + 1, 2**54 - 1, 2**63 - 1])
def test_later_times_have_words(time_s: int) -> None:
    assert day(time_s) == when(time_s) == "after the year 9999"
