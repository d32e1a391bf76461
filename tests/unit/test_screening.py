"""Screening: which wallets a list refuses, and what happens when nobody can tell."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from eth_account import Account

from mini_llm.errors import ConfigError
from router.people.errors import ScreeningUnavailable, WalletRefused
from router.people.screening import SHOWN_S, Moment, Screener, Screening, open_screening

LISTED, OTHER = (Account.create(name).address for name in ("listed", "other"))


def listing(file: Path, *lines: str) -> Screening:
    file.write_text("".join(f"{line}\n" for line in lines))
    return open_screening(f"file:{file}")


def admit(screening: Screening, address: str) -> None:
    asyncio.run(screening.admit(address, Moment.DEPOSIT))


def test_without_a_setting_everybody_is_admitted() -> None:
    admit(open_screening(None), LISTED)


@pytest.mark.parametrize("spelt", [str, str.lower])
def test_a_listed_wallet_is_refused_however_it_is_spelt(tmp_path: Path, spelt: type[str]) -> None:
    screening = listing(tmp_path / "list", "# a remark", "", f"{LISTED.lower()}  # case 7")
    with pytest.raises(WalletRefused, match="withdrawn without the operator"):
        admit(screening, spelt(LISTED))
    admit(screening, OTHER)


def test_the_list_is_read_again_when_it_changes(tmp_path: Path) -> None:
    screening = listing(tmp_path / "list", LISTED)
    listing(tmp_path / "list", OTHER, "# longer")
    admit(screening, LISTED)
    with pytest.raises(WalletRefused):
        admit(screening, OTHER)


class Counting(Screener):
    """Refuses nobody, and counts who is asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def refuses(self, address: str, moment: str) -> bool:
        self.asked.append(moment)
        return False


def test_loading_a_page_again_does_not_ask_again() -> None:
    screener, now_s = Counting(), 1000.0
    screening = Screening(screener, lambda: now_s)
    for moment in (Moment.CLAIM, Moment.CLAIM, Moment.DEPOSIT):
        assert asyncio.run(screening.admits(OTHER, moment))
    assert screener.asked == ["claim", "deposit"]
    now_s += SHOWN_S + 1
    assert asyncio.run(screening.admits(OTHER, Moment.CLAIM))
    admit(screening, OTHER)
    admit(screening, OTHER)
    assert len(screener.asked) == 5, "what is done is asked about each time"


@pytest.mark.parametrize("broken", ["missing", "wrong"])
def test_who_cannot_be_screened_is_not_admitted(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "list"
    screening = listing(file)
    file.unlink() if broken == "missing" else file.write_text("0x12")
    with pytest.raises(ScreeningUnavailable):
        admit(screening, OTHER)
    assert not asyncio.run(screening.admits(OTHER, Moment.CLAIM))
    file.write_text("")
    admit(screening, OTHER)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [(["0x12"], "line 1: '0x12' is not an address"), (None, "cannot be read")],
)
def test_a_list_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, lines: list[str] | None, reason: str
) -> None:
    file = tmp_path / "list"
    with pytest.raises(ConfigError, match=reason):
        open_screening(f"file:{file}") if lines is None else listing(file, *lines)


def test_an_unknown_plugin_is_named() -> None:
    with pytest.raises(ConfigError, match="'chainwatch' is neither file: nor an installed plugin"):
        open_screening("chainwatch:key")
