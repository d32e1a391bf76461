"""What a query of the explorer may mean, and the setting that links to the chain's own explorer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.books import Books, new_books, owner, session_commit, slot

from mini_llm.config_file import load_config
from mini_llm.errors import ConfigError
from router.config import RouterConfig
from router.config_people import load_people
from router.ledger import read
from router.ledger.models import Kind
from router.ledger.record import reverse
from router.web.finding import Found, find


@pytest.fixture
def books(database: str) -> Iterator[Books]:
    with new_books(database) as books:
        books.fund(1, 10_000)
        books.fund(2, 10_000)
        books.call(1, 300)
        books.settle(1, slot(1, charge=300, deposit=10_000, key_commit=session_commit(1)))
        yield books


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("1", Found(batch=1, accounts=(1,)), id="number"),
        pytest.param("2", Found(accounts=(2,)), id="account-only"),
        pytest.param("batch1", Found(batch=1), id="batch"),
        pytest.param("BATCH 2", Found(), id="no-such-batch"),
        pytest.param("account\t#1", Found(accounts=(1,)), id="account"),
        pytest.param(f"  {owner(2).upper().replace('0X', '0x')} ", Found(accounts=(2,)), id="wallet"),
        pytest.param("0", Found(), id="zero"),
        pytest.param("٣", Found(understood=False), id="other-digits"),
        pytest.param("-1", Found(understood=False), id="negative"),
        pytest.param("1" * 19, Found(understood=False), id="beyond-any-number"),
        pytest.param("0x" + "1" * 63, Found(understood=False), id="short-hash"),
    ],
)
def test_a_query_means_what_it_looks_like(books: Books, query: str, found: Found) -> None:
    assert books.ledger.read(lambda c: find(c, query, ())) == found


def test_a_receipt_is_whole_for_its_owner_only_and_waits_again_after_a_reorganisation(books: Books) -> None:
    (signed,) = books.ledger.read(lambda c: list(read.iter_receipts(c)))
    request_id = signed.receipt.request_id.hex()
    for own in ((), (2,), (1, 2)):
        receipt = books.ledger.read(lambda c, own=own: find(c, f"0x{request_id.upper()}", own)).receipt
        assert receipt is not None
        assert receipt.batch is not None
        assert receipt.batch.number == 1
        assert (receipt.call is not None) == (1 in own)
    books.ledger.run(lambda c: reverse(c, [(Kind.BATCH, "batch-1")]))
    receipt = books.ledger.read(lambda c: find(c, request_id, (1,))).receipt
    assert receipt is not None
    assert receipt.batch is None


def test_an_account_whose_opening_the_chain_dropped_is_not_there(books: Books) -> None:
    books.ledger.run(lambda c: reverse(c, [(Kind.ACCOUNT, "account 2")]))
    for query in ("2", owner(2)):
        assert books.ledger.read(lambda c, q=query: find(c, q, ())) == Found()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        pytest.param("", None, id="none"),
        pytest.param("https://amoy.polygonscan.com/", "https://amoy.polygonscan.com", id="root"),
        pytest.param("http://localhost:4000/chain", "http://localhost:4000/chain", id="below-a-path"),
    ],
)
def test_the_chains_explorer(text: str, url: str | None) -> None:
    assert load_people({"VIBES_EXPLORER_URL": text}).explorer_url == url


@pytest.mark.parametrize("name", ["VIBES_RPC_URL", "VIBES_WALLET_RPC_URL"])
def test_what_is_no_address_of_a_node_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: it is not like https://") as refused:
        load_people({name: "node.example.com/secret"})
    assert "secret" not in str(refused.value)


def test_what_is_no_node_of_the_relay_is_refused_and_not_repeated(tmp_path: Path) -> None:
    relay = {"key_file": "relay.key", "rpc_url": "ws://node.example.com/secret", "asset": "0x" + "ab" * 20}
    file = tmp_path / "router.json"
    file.write_text(json.dumps({"relay": relay}))
    with pytest.raises(ConfigError, match=r"relay\.rpc_url: .*it is not like https://") as refused:
        load_config(file, RouterConfig, {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["amoy.polygonscan.com", "javascript:alert(1)", "https://x.example/?tx="])
def test_what_is_no_address_of_an_explorer_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="VIBES_EXPLORER_URL"):
        load_people({"VIBES_EXPLORER_URL": text})
