"""API keys at rest, and which signed ceilings the ledger takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.books import DOMAIN, Books, funded, new_books, signed_ceiling

from mini_llm.wallet.ceiling import SignedCeiling
from router.ledger import (
    CeilingRejected,
    Grant,
    UnknownAccount,
    check_ceiling,
    create_api_key,
    keys,
    read,
    revoke_api_key,
    store_ceiling,
)


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.ledger.run(lambda c: funded(c, 1, 10_000))
        yield books


def store(books: Books, signed: SignedCeiling, domain: int = DOMAIN) -> int:
    return books.ledger.run(lambda c: store_ceiling(c, check_ceiling(domain, signed)))


def test_an_api_key_is_stored_as_its_hash_only(books: Books, tmp_path: Path) -> None:
    api_key = books.ledger.run(lambda c: create_api_key(c, 1, "laptop")).secret
    assert api_key.startswith("sk-vibes-")
    assert len(api_key) > 50
    found = books.ledger.read(lambda c: keys.find_api_key(c, keys.hash_api_key(api_key)))
    assert found is not None
    assert (found.account_idx, found.label, found.revoked_s) == (1, "laptop", None)
    assert found.grant == Grant()
    rows = books.ledger.read(
        lambda c: [
            *c.exec_driver_sql("SELECT * FROM api_key"),
            *c.exec_driver_sql("SELECT * FROM api_secret"),
        ]
    )
    assert api_key not in str(rows)
    assert keys.hash_api_key(api_key) in str(rows)
    secret = api_key.removeprefix("sk-vibes-").encode()
    assert all(secret not in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


def test_keys_differ_and_unknown_ones_are_not_found(books: Books) -> None:
    first, second = (books.ledger.run(lambda c: create_api_key(c, 1, "x")).secret for _ in range(2))
    assert first != second
    wrong = keys.hash_api_key(first + "x")
    assert books.ledger.read(lambda c: keys.find_api_key(c, wrong)) is None


def test_a_revoked_key_is_listed_but_not_valid(books: Books) -> None:
    first, second = (books.ledger.run(lambda c: create_api_key(c, 1, "x")).secret for _ in range(2))
    key_id = keys.hash_api_key(first)[: keys.KEY_ID_DIGITS]
    assert books.ledger.run(lambda c: revoke_api_key(c, key_id))
    assert not books.ledger.run(lambda c: revoke_api_key(c, key_id))
    assert books.ledger.read(lambda c: keys.find_api_key(c, keys.hash_api_key(first))) is None
    assert books.ledger.read(lambda c: keys.find_api_key(c, keys.hash_api_key(second))) is not None
    listed = books.ledger.read(lambda c: keys.api_keys(c, 1))
    assert {key.key_id: key.revoked_s is not None for key in listed} == {
        key_id: True,
        keys.hash_api_key(second)[: keys.KEY_ID_DIGITS]: False,
    }


@pytest.mark.parametrize("key_id", ["", "%", "_" * 16, "%" * 16, "0" * 64])
def test_revoking_takes_a_whole_key_id(books: Books, key_id: str) -> None:
    api_key = books.ledger.run(lambda c: create_api_key(c, 1, "x")).secret
    assert not books.ledger.run(lambda c: revoke_api_key(c, key_id))
    assert books.ledger.read(lambda c: keys.find_api_key(c, keys.hash_api_key(api_key))) is not None


def test_a_key_needs_an_account(books: Books) -> None:
    with pytest.raises(UnknownAccount):
        books.ledger.run(lambda c: create_api_key(c, 2, "x"))


def test_a_ceiling_rises_and_never_falls(books: Books) -> None:
    assert books.account(1).available_base == 0
    store(books, signed_ceiling(1, 500))
    assert books.account(1).available_base == 500
    assert store(books, signed_ceiling(1, 500)) == 500
    store(books, signed_ceiling(1, 800))
    with pytest.raises(CeilingRejected, match="below"):
        store(books, signed_ceiling(1, 799))
    assert books.account(1).ceiling_base == 800
    assert books.ledger.read(lambda c: read.ceiling(c, 1)) == signed_ceiling(1, 800)


def test_a_ceiling_by_another_key_is_refused(books: Books) -> None:
    with pytest.raises(CeilingRejected, match="not the account's"):
        store(books, signed_ceiling(1, 500, secret=99))


def test_a_forged_ceiling_is_refused(books: Books) -> None:
    good = signed_ceiling(1, 500)
    forged = [
        replace(good, ceiling_base=501),
        replace(good, signature=replace(good.signature, s=good.signature.s + 1)),
        replace(good, signature=signed_ceiling(1, 501).signature),
        replace(good, key=signed_ceiling(1, 500, secret=99).key),
    ]
    for signed in forged:
        with pytest.raises(CeilingRejected, match="signature"):
            store(books, signed)
    with pytest.raises(CeilingRejected, match="signature"):
        store(books, good, domain=DOMAIN + 1)
    assert books.account(1).ceiling_base == 0


def test_a_ceiling_counts_for_its_own_account(books: Books) -> None:
    books.ledger.run(lambda c: funded(c, 2, 10_000))
    with pytest.raises(CeilingRejected, match="signature"):
        store(books, replace(signed_ceiling(1, 500), idx=2))
    with pytest.raises(UnknownAccount):
        store(books, signed_ceiling(3, 500))


def test_a_ceiling_that_the_database_cannot_hold_is_refused(books: Books) -> None:
    with pytest.raises(CeilingRejected, match="above"):
        store(books, signed_ceiling(1, 2**63))
    store(books, signed_ceiling(1, 2**63 - 1))
    assert books.account(1).available_base == 10_000
