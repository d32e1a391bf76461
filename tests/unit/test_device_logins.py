"""Logins of devices in the ledger: one key whoever asks, and limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from router.db import open_database
from router.ledger import chain
from router.ledger.grants import DEFAULT_SCOPES, Grant
from router.ledger.writer import Ledger
from router.people import device
from router.people.device import Asking, Handed, UserCodes

OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
NOW_S = 1_800_000_000
CODES = UserCodes(b"secret")


def asking(user_code: str, expires_s: int = NOW_S + 600) -> Asking:
    return Asking(CODES.hash(user_code), "client", "", DEFAULT_SCOPES, expires_s)


def test_workers_that_are_asked_at_once_hand_out_one_key(database: str) -> None:
    workers = [Ledger(open_database(database)) for _ in range(2)]
    try:
        one = asking("BCDF-GHJK")
        ledger = workers[0]
        ledger.run(lambda connection: chain.open_account(connection, 1, OWNER))
        ledger.run(lambda connection: device.begin(connection, "d" * 64, one, NOW_S))
        grant = Grant(scopes=frozenset({"chat"}), models=("a*",), parallel=2)
        assert ledger.run(lambda connection: device.approve(connection, one, OWNER, 1, grant))

        def ask(turn: int) -> Handed | str:
            return workers[turn % 2].run(
                lambda connection: device.redeem(connection, "d" * 64, "client", NOW_S + 10 * turn)
            )

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(16)))
        (handed,) = [answer for answer in answers if isinstance(answer, Handed)]
        assert handed.grant == grant
        assert set(answers) - {handed} <= {"invalid_grant", "slow_down"}
    finally:
        for worker in workers:
            worker.close()


def test_open_logins_have_a_limit_and_old_ones_are_swept(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "MAX_OPEN", 2)
    ledger = Ledger(open_database(database))

    def begin(number: int, now_s: int) -> Asking:
        one = asking(f"BBBB-{number:04}", now_s + 600)
        ledger.run(lambda connection: device.begin(connection, f"{number:064}", one, now_s))
        return one

    def ask(number: int, now_s: int) -> Handed | str:
        return ledger.run(lambda connection: device.redeem(connection, f"{number:064}", "client", now_s))

    try:
        ledger.run(lambda connection: chain.open_account(connection, 1, OWNER))
        approved, grant = begin(0, NOW_S), Grant(scopes=frozenset({"chat"}))
        assert ledger.run(lambda connection: device.approve(connection, approved, OWNER, 1, grant))
        for number in range(1, 4):
            begin(number, NOW_S + number)
        assert [ask(number, NOW_S + 4) for number in (1, 2)] == ["invalid_grant"] * 2
        assert ask(3, NOW_S + 4) == "authorization_pending"
        assert isinstance(ask(0, NOW_S + 4), Handed)  # what a wallet approved made no room
        assert ask(3, NOW_S + 603) == "expired_token"
        late = NOW_S + 603 + device.KEPT_S + 1
        begin(4, late)
        assert ask(3, late) == "invalid_grant"
    finally:
        ledger.close()


def test_user_codes_are_hashed_under_the_routers_secret() -> None:
    code = CODES.issue()
    assert CODES.hash(code) == CODES.hash(f" {code.lower()} ") == CODES.hash(code.replace("-", ""))
    assert CODES.hash(code) != UserCodes(b"another").hash(code)
