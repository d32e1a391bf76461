"""What a chart's drawing says of its values."""

from __future__ import annotations

import re

from router.web.charts import HEIGHT, Bar, Chart


def test_the_highest_bar_reaches_the_upper_line() -> None:
    chart = Chart("Charges", ("a", "b"), [Bar("1", (30, 70)), Bar("2", (50, 0))])
    assert chart.highest == 100
    heights = [int(found) for found in re.findall(r'<rect [^>]*height="(\d+)"', chart.svg)]
    assert heights == [30 * HEIGHT // 100, 70 * HEIGHT // 100, 50 * HEIGHT // 100]
    assert [int(found) for found in re.findall(r'<line [^>]*y1="(\d+)"', chart.svg)] == [0, HEIGHT]


def test_a_chart_of_nothing_has_no_highest_value() -> None:
    chart = Chart("Charges", ("a",), [Bar("1", (0,))])
    assert chart.highest == 0
    assert "<rect" not in chart.svg
