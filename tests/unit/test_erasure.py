"""Erasing an account's owner: everything that can be, of nobody else, and no money."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, select
from support.books import NOW_S, Books, new_books, owner

from router.db import LedgerTable
from router.ledger import Replay, StoredAnswer, create_api_key
from router.ledger.errors import UnknownAccount
from router.ledger.grants import DEFAULT_SCOPES, Grant
from router.ledger.keys import find_api_key, hash_api_key
from router.people import custody, device, provider_keys, sessions, teams
from router.people.erasure import erase_owner
from router.people.models import Role
from router.people.vault import FileKeys, Vault

VAULT = Vault(FileKeys({"master": b"m" * 32}))
BOOKS = {"account", "entry", "posting", "call", "account_change", "share", "ceiling"}
"""Tables in which nothing changes."""


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        for idx in (1, 2):
            books.fund(idx, 10_000)
            held = books.reserve(idx, 100, "key")
            books.post(held.entry_id, 100, answer=StoredAnswer(200, "text/plain", word(idx).encode()))
        for idx in (1, 2):
            books.ledger.run(lambda connection, idx=idx: settled_in(connection, idx))
        yield books


def word(idx: int) -> str:
    return f"said by {idx}"


def settled_in(connection: Connection, idx: int) -> None:
    """The owner of the account uses everything that there is, and is in a team of the other account."""
    me, other = owner(idx), 3 - idx
    create_api_key(connection, idx, word(idx))
    sessions.open_session(connection, f"nonce {idx}", NOW_S + 600, me, NOW_S, 600)
    seal = provider_keys.seal_key(VAULT, idx, "up", None, "sk-provider-key")
    provider_keys.put_key(connection, idx, "up", None, "last", seal, NOW_S)
    custody.store_held_key(connection, custody.new_held_key(VAULT, me, 10**6), NOW_S)
    team = teams.create_team(connection, idx, me, word(idx), NOW_S)
    place = teams.membership(connection, team, me)
    teams.set_member(connection, place, owner(other), {"role": Role.MEMBER}, NOW_S)
    label = f"{word(other)} in a team"
    create_api_key(connection, idx, label, team=(team, owner(other)))
    asking = device.Asking(f"user {idx}", "client", word(idx), DEFAULT_SCOPES, NOW_S + 600)
    device.begin(connection, f"device {idx}", asking, NOW_S)
    device.approve(connection, asking, me, idx, Grant())


def dumped(books: Books) -> dict[str, str]:
    """Every table as text."""
    tables = LedgerTable.metadata.sorted_tables
    return books.ledger.read(
        lambda connection: {one.name: str(connection.execute(select(one)).all()) for one in tables}
    )


def where(found: dict[str, str], sign: str) -> set[str]:
    return {name for name, rows in found.items() if sign in rows}


def test_an_owner_is_forgotten_and_nobody_else(books: Books) -> None:
    before = dumped(books)
    for idx in (1, 2):
        assert {"api_key", "team", "device_login", "answer"} <= where(before, word(idx))
        assert {"wallet_session", "session_key", "team_member"} <= where(before, owner(idx))
    erased = books.ledger.run(lambda connection: erase_owner(connection, 1))
    counts = {"kept answers": 1, "API keys": 3, "provider keys": 1, "sessions": 1, "places in teams": 3}
    assert erased.items() >= counts.items()
    after = dumped(books)
    assert where(after, word(1)) == set()
    assert where(after, owner(1)) == {"account", "account_change"}  # which the chain tells everybody
    assert {"team", "device_login", "answer"} <= where(after, word(2))
    assert {"wallet_session", "session_key"} <= where(after, owner(2))
    assert {name: after[name] for name in BOOKS} == {name: before[name] for name in BOOKS}


def test_keys_end_and_a_replay_is_told_that_its_answer_is_gone(books: Books) -> None:
    made = books.ledger.run(lambda connection: create_api_key(connection, 1, "last"))
    books.ledger.run(lambda connection: erase_owner(connection, 1))
    assert books.ledger.read(lambda c: find_api_key(c, hash_api_key(made.secret))) is None
    again = books.try_reserve(1, 100, "key")
    assert isinstance(again, Replay)
    assert (again.answer, again.charge_base) == (None, 100)
    assert books.ledger.run(lambda connection: erase_owner(connection, 1))["kept answers"] == 0


def test_an_unknown_account_is_told(books: Books) -> None:
    with pytest.raises(UnknownAccount):
        books.ledger.run(lambda connection: erase_owner(connection, 77))
