"""What people type into forms."""

from __future__ import annotations

import pytest

from router.people.errors import BadInput
from router.web.door import Form
from router.web.fields import amount_base, day_label, day_name, day_of, end_of_day_s, number


def form(text: str) -> Form:
    return Form([("field", text)])


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("", None),
        (" ", None),
        ("0", 0),
        ("12.5", 12_500_000),
        ("1,000.000001", 1_000_000_001),
        (" 3 ", 3_000_000),
    ],
)
def test_amounts_are_exact(text: str, base: int | None) -> None:
    assert amount_base(form(text), "field") == base


@pytest.mark.parametrize(
    "text", ["-1", "1e3", "1.0000001", "x", ".5", "9" * 30, "٣", "12,50", "0,5", "1,0000", "1,00.5"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        amount_base(form(text), "field")
    assert refused.value.field == "field"


def test_numbers() -> None:
    assert number(form(""), "field") is None
    assert number(form("1,000"), "field") == 1000
    for text in ("-1", "1.5", "1,5", "x", "9" * 19):
        with pytest.raises(BadInput):
            number(form(text), "field")


def test_days() -> None:
    assert end_of_day_s(form(""), "field") is None
    assert end_of_day_s(form("1970-01-02"), "field") == 2 * 86_400
    for text in ("2026-02-30", "20260101", "2026-1-1", "yesterday"):
        assert day_of(text) is None
        with pytest.raises(BadInput):
            end_of_day_s(form(text), "field")
    assert day_of("2026-11-21") == 20_778
    assert day_name(20_778) == "2026-11-21"
    assert day_label(20_778) == "21 Nov"
