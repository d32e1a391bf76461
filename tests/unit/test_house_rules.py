"""The money lint finds what it is there to find, and lets integer money pass."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location(
    "lint_house_rules", Path(__file__).resolve().parents[2] / "scripts" / "lint_house_rules.py"
)
assert spec is not None
assert spec.loader is not None
lint = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lint)


@pytest.mark.parametrize(
    "code",
    [
        "share = charge_base / 2",
        "share = quote.charge_base * bps / 10_000",
        "charge_base /= 2",
        "x = 0.5 * charge_base",
        "x = float(balance_base)",
        "x = round(totals['a'].charge_base)",
        "charge_base: float = 1",
        "def f(fee_bps: float): ...",
    ],
)
def test_money_breach_is_found(code: str) -> None:
    assert list(lint.money_breaches(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "share = charge_base * bps // 10_000",
        "ratio = seconds / 2",
        "x = round(seconds)",
        "charge_base: int = 1",
    ],
)
def test_integer_money_passes(code: str) -> None:
    assert not list(lint.money_breaches(ast.parse(code)))


def test_size_and_assert_breaches_are_found() -> None:
    long = "def f():\n" + "    x = 1\n" * 80
    assert "has 81 lines" in next(lint.size_breaches(ast.parse(long), long))[1]
    assert "assert" in next(lint.size_breaches(ast.parse("assert 1"), ""))[1]
    assert "301 lines" in next(lint.size_breaches(ast.parse(""), "\n" * 301))[1]
