"""The explorer, over HTTP and in a real browser: what is on chain, for everybody, and nothing that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from people_world import Person, Town, chat, make_public_town, message, signed
from playwright.sync_api import Page, expect
from router_world import SESSION_SECRET, SIGNER, World
from sqlalchemy import Connection
from support.books import batch_facts, owner, slot
from support.page_checks import check_page
from support.tabs import Tabs

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment
from router.ledger import chain, leaving, settled
from router.receipts import REQUEST_ID_HEADER
from router.web.pages.explorer import PAGE

BATCHES = 60
WIDEST = 80
ALICE, SECOND, FROZEN, LAST = 1, 2, 3, 83
SPLIT = (10, 30, 50)  # batches that settle a part of what Alice's second account spent
CHAIN_EXPLORER = "https://chain.example"
COMMIT = key_commitment(public_key(SESSION_SECRET))


@dataclass
class History:
    """A router of a chain with 60 batches, and the receipts of one settled and one waiting call of Alice."""

    town: Town
    alice: Person
    settled_id: str
    waiting_id: str
    charge_base: int
    total_base: int

    @property
    def url(self) -> str:
        return self.town.url.removesuffix("/v1")


def settle(world: World, number: int, *slots: Any, burned_base: int = 0, size: int = 4) -> None:
    facts = replace(batch_facts(number, slots, burned_base), size=size)

    def run(connection: Connection) -> None:
        chain.settle_batch(connection, facts, f"batch-{number}")
        if number % 2:  # of the others the node has not told yet
            waiting = settled.Unpriced(number, facts.tx_hash, facts.block_number)
            settled.price(connection, waiting, 371_000 + number, 1_800_000_000 + number)

    world.ledger.run(run)


def open_many(world: World, first: int, last: int) -> None:
    def run(connection: Connection) -> None:
        for idx in range(first, last + 1):
            chain.open_account(connection, idx, owner(idx))
            chain.request_key(connection, idx, COMMIT + idx, f"key:{idx}")
            chain.credit_deposit(connection, idx, 10**12 + idx, f"deposit:{idx}")

    world.ledger.run(run)


@pytest.fixture(scope="module")
def history(new_world: Any, tmp_path_factory: pytest.TempPathFactory) -> History:
    explorer = {"VIBES_EXPLORER_URL": CHAIN_EXPLORER + "/"}
    town = make_public_town(new_world, tmp_path_factory.mktemp("keys"), **explorer)
    world, alice = town.world, Person(town.url)
    alice.user = world.open_user(ALICE, 10**9, 10**9, alice.address)
    second = world.open_user(SECOND, 10**9, 10**9, alice.address)
    open_many(world, FROZEN, LAST)
    paid = chat(alice, alice.user.api_key)
    chat(alice, second.api_key)
    charge_base, second_base = (user.settled_view().spent_base for user in (alice.user, second))
    opening = slot(ALICE, charge=charge_base, deposit=10**9, key_commit=COMMIT)
    settle(world, 1, opening, burned_base=charge_base // 20)
    wide = [slot(idx, deposit=10**12 + idx, key_commit=COMMIT + idx) for idx in range(FROZEN, LAST)]
    settle(world, 2, *wide, size=WIDEST)
    for number in range(3, BATCHES + 1):
        parts = [slot(SECOND, charge=second_base // len(SPLIT))] if number in SPLIT else []
        settle(world, number, slot(ALICE, reward=1), *parts)
    world.ledger.run(lambda connection: leaving.freeze_account(connection, FROZEN, 0, "freeze"))
    waiting = chat(alice, alice.user.api_key)
    alice.user.settled_view()
    ids = [answer.headers[REQUEST_ID_HEADER] for answer in (paid, waiting)]
    total_base = charge_base + len(SPLIT) * (second_base // len(SPLIT))
    return History(town, alice, *ids, charge_base, total_base)


@pytest.fixture
def stranger(history: History) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=history.url, timeout=30) as client:
        yield client


def sign_in(client: httpx.Client, person: Person, url: str) -> None:
    nonce = client.get("/v1/signin/nonce").json()["nonce"]
    text = message(person.address, nonce, domain=url.partition("//")[2], uri=url)
    sent = {"message": text, "signature": signed(person.wallet, text)}
    assert client.post("/signin", json=sent, headers={"origin": url}).status_code == 200


def text_of(markup: str) -> str:
    """What people read."""
    return " ".join(re.sub(r"<[^>]*>", " ", markup).split())


def test_the_newest_batches_come_first_and_every_batch_comes_once(stranger: httpx.Client) -> None:
    seen: list[int] = []
    address: str | None = "/explorer"
    while address is not None:
        answer = stranger.get(address)
        assert answer.status_code == 200
        here = re.findall(r'<th scope="row"><a href="/explorer/batches/(\d+)">', answer.text)
        assert len(here) <= PAGE
        seen += map(int, here)
        older = re.search(r'href="([^"]+)" rel="next"', answer.text)
        address = None if older is None else older[1]
    assert seen == list(range(BATCHES, 0, -1))
    assert "No batch is that old" in stranger.get("/explorer?before=1").text
    assert stranger.get("/explorer?before=x").text == stranger.get("/explorer").text


def test_the_totals_are_of_all_batches(history: History, stranger: httpx.Client) -> None:
    page = stranger.get("/explorer").text
    assert f'<data class="money" value="{history.total_base}">' in page
    assert f'<data class="money" value="{history.charge_base // 20}">' in page
    assert f'<data class="money" value="{BATCHES - 2}">' in page
    assert f"Accounts {LAST} opened by a deposit" in text_of(page)


def test_a_batch_shows_what_was_proved_and_by_whom(history: History, stranger: httpx.Client) -> None:
    page = stranger.get("/explorer/batches/1").text
    tx_hash = "0xa" + f"{1:063x}"
    assert f'<a href="{CHAIN_EXPLORER}/tx/{tx_hash}" rel="noreferrer">' in page
    assert f'<a href="{CHAIN_EXPLORER}/address/{owner(0xFE)}" rel="noreferrer">' in page
    for value in (0, 1, 2, 3):  # roots, and C, r and y
        assert f"0x{value:064x}" in page
    text = text_of(page)
    assert "371,001" in text
    assert "2027-01-15 08:00 UTC" in text
    assert "1 of 4 slots are used" in text
    assert 'rel="prev"' not in page
    assert '<a class="button quiet" href="/explorer/batches/2" rel="next">' in page
    assert '<a href="/partners/1">Partner 1</a>' in page
    last = stranger.get(f"/explorer/batches/{BATCHES}").text
    assert 'rel="next"' not in last
    assert "not read yet" in last
    assert "Nothing was charged" in last


def test_an_account_shows_what_batches_did_to_it_and_nothing_else(
    history: History, stranger: httpx.Client
) -> None:
    page = stranger.get(f"/explorer/accounts/{ALICE}").text
    left_base = 10**9 - history.charge_base + BATCHES - 2
    assert history.alice.address in page
    assert f'<data class="money" value="{history.charge_base}">' in page
    assert f'<data class="money" value="{left_base}">' in page
    assert f"0x{COMMIT:064x}" in page
    assert history.alice.user is not None
    chat(history.alice, history.alice.user.api_key)
    history.alice.user.settled_view()
    assert stranger.get(f"/explorer/accounts/{ALICE}").text == page  # unsettled charges are nobody's business
    oldest = stranger.get(f"/explorer/accounts/{ALICE}?before=2").text
    assert oldest.count('<th scope="row">') == 1
    assert "frozen" in text_of(stranger.get(f"/explorer/accounts/{FROZEN}").text)
    assert "takes its deposit over" in stranger.get(f"/explorer/accounts/{LAST}").text


@pytest.mark.parametrize(
    ("query", "address"),
    [
        pytest.param(" batch 5 ", "/explorer/batches/5", id="batch"),
        pytest.param("#81", "/explorer/accounts/81", id="the-only-thing-of-this-number"),
        pytest.param("Account #5", "/explorer/accounts/5", id="account"),
        pytest.param("0xA" + f"{7:063x}", "/explorer/batches/7", id="transaction"),
        pytest.param("a" + f"{7:063x}", "/explorer/batches/7", id="transaction-without-0x"),
        pytest.param(owner(4).upper().replace("0X", "0x"), "/explorer/accounts/4", id="wallet"),
    ],
)
def test_what_is_found_alone_is_gone_to(stranger: httpx.Client, query: str, address: str) -> None:
    answer = stranger.get("/explorer/search", params={"q": query})
    assert (answer.status_code, answer.headers.get("location")) == (303, address)


def test_what_may_be_several_things_is_shown(history: History, stranger: httpx.Client) -> None:
    both = stranger.get("/explorer/search", params={"q": "5"}).text
    assert "/explorer/batches/5" in both
    assert "/explorer/accounts/5" in both
    wallet = stranger.get("/explorer/search", params={"q": history.alice.address.lower()}).text
    assert re.findall(r"/explorer/accounts/(\d+)", wallet) == ["1", "2"]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        pytest.param("", "Type what you look for", id="nothing"),
        pytest.param("500", "Nothing was found for 500", id="number"),
        pytest.param("9" * 30, "neither a number nor", id="huge-number"),
        pytest.param(SIGNER, "Nothing was found", id="wallet-without-account"),
        pytest.param("0x" + "f" * 64, "A receipt has an id of 64 hex digits", id="hash"),
        pytest.param("<script>alert(1)</script>", "neither a number nor", id="markup"),
        pytest.param("x" * 5_000, "neither a number nor", id="long"),
    ],
)
def test_what_is_not_found_is_told_with_help(stranger: httpx.Client, query: str, told: str) -> None:
    answer = stranger.get("/explorer/search", params={"q": query})
    assert answer.status_code == 200
    assert told in text_of(answer.text)
    assert "What can be found" in answer.text
    assert "<script>" not in answer.text


def test_a_receipt_tells_strangers_its_batch_alone(history: History, stranger: httpx.Client) -> None:
    found = stranger.get("/explorer/search", params={"q": history.settled_id}).text
    assert '<a href="/explorer/batches/1">' in found
    assert "settled" in text_of(found)
    waits = stranger.get("/explorer/search", params={"q": "0x" + history.waiting_id}).text
    assert "waits for a batch" in text_of(waits)
    other = Person(history.town.url)
    sign_in(stranger, other, history.url)
    for page in (found, waits, stranger.get("/explorer/search", params={"q": history.settled_id}).text):
        for private in ("Model</dt>", "Charge</dt>", "Tokens</dt>", "/explorer/accounts/", "plain"):
            assert private not in page
        assert "shown to the receipt's owner alone" in text_of(page).replace("&#39;", "'")


def test_its_owner_sees_the_receipt_whole(history: History, stranger: httpx.Client) -> None:
    sign_in(stranger, history.alice, history.url)
    found = text_of(stranger.get("/explorer/search", params={"q": history.settled_id}).text)
    assert "Model plain" in found
    assert "shown to you alone" in found
    assert f"{history.charge_base}" in stranger.get("/explorer/search", params={"q": history.settled_id}).text


@pytest.mark.parametrize(
    "address",
    [
        *(f"/explorer/batches/{number}" for number in (0, BATCHES + 1, "abc", "-1", "9" * 30, "%31%2e")),
        *(f"/explorer/accounts/{idx}" for idx in (0, LAST + 1, "abc", "9" * 30)),
    ],
)
def test_what_is_not_there_is_told(stranger: httpx.Client, address: str) -> None:
    answer = stranger.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "numbered from 1" in answer.text
    assert 'name="q"' in answer.text


def test_before_the_first_batch_and_without_an_explorer_of_the_chain(new_world: Any) -> None:
    world = new_world()
    with httpx.Client(base_url=world.router.url.removesuffix("/v1")) as client:
        assert "No batch has been settled yet" in client.get("/explorer").text
        world.open_user(1, 10**9, 0)
        settle(world, 1, slot(1, deposit=10**9, key_commit=COMMIT))
        page = client.get("/explorer/batches/1").text
        assert '<code class="hex whole">0xa' + f"{1:063x}</code>" in page
        assert "https://" not in page


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("/explorer", id="newest"),
        pytest.param("/explorer?before=30", id="older"),
        pytest.param("/explorer/batches/1", id="batch"),
        pytest.param("/explorer/batches/2", id="widest-batch"),
        pytest.param(f"/explorer/accounts/{ALICE}", id="account"),
        pytest.param("/explorer/search?q=5", id="search"),
        pytest.param("/explorer/search?q=nothing", id="nothing-found"),
    ],
)
def test_every_page_is_light_and_for_everybody(history: History, page: Page, address: str) -> None:
    check_page(page, history.url + address)


def test_a_search_by_keyboard_and_without_scripts(history: History, tabs: Tabs) -> None:
    page = tabs.open(java_script_enabled=False)
    page.goto(f"{history.url}/explorer")
    page.get_by_label("Batch, account, wallet, receipt or transaction").fill(history.settled_id)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    page.get_by_role("link", name="Batch 1").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("proof verified")
    page.get_by_role("link", name="Account 1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Account 1")
    page.get_by_role("link", name="Older batches").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
