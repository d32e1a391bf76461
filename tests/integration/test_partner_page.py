"""A partner's page over HTTP and in a real browser: figures, bundles, checks, claim, on a real chain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from eth_account.signers.local import LocalAccount
from playwright.sync_api import Page, expect
from support.anvil import running_anvil
from support.auditing import lying_node, run_audit
from support.bundles import root_of_tiles
from support.gateway import router
from support.injected import InjectedWallet
from support.lies import change_view
from support.operator import Operator, operating
from support.page_checks import check_page, grave_violations
from support.ports import free_port
from support.settling import export
from support.stack import PARTNERS, VIBES, Stack, labelled_account
from support.tabs import Tabs

from mini_llm.wallet.receipt import ReceiptDomain
from mini_llm.wallet.receipts_tree import Leaf, Subtree
from router.ledger import batches, read

PARTNER = 1
GROSS_BASE = 1_234_567 + 2 + 345_678
"""What the calls of `settled` at partner 1 come to."""
SHARE_BASE = GROSS_BASE * PARTNERS[0][1] // 10_000


@dataclass
class Place:
    """A router that shows an operator's books, at an address."""

    operator: Operator
    url: str

    @property
    def page_url(self) -> str:
        return f"{self.url}/partners/{PARTNER}"

    @property
    def stack(self) -> Stack:
        return self.operator.stack

    def publish(self) -> None:
        """The bridge reads the chain and tells the router."""
        with self.operator.pipeline() as pipeline:
            pipeline.sync()
            pipeline.publish(pipeline.status())

    def wallet(self, account: LocalAccount, **moods: Any) -> InjectedWallet:
        self.stack.anvil.rpc("anvil_setBalance", account.address, hex(10**18))
        return InjectedWallet(account, self.stack.anvil, **moods)


@pytest.fixture(scope="module")
def place(circuits_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        running_anvil() as anvil,
        operating(Stack(anvil), tmp_path_factory.mktemp("operator"), circuits_dir) as operator,
    ):
        settled(operator)
        with router(operator) as (_, base_url):
            made = Place(operator, base_url.removesuffix("/v1"))
            made.publish()
            yield made


def settled(operator: Operator) -> None:
    """Two batches of two accounts' calls at both partners and at the house; partner 2 was paid once."""
    stack = operator.stack
    alice, bob = wallets = [stack.wallet(name, 10 * VIBES) for name in ("alice", "bob")]
    for wallet in wallets:
        stack.deposit(wallet, 10 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        for wallet in wallets:
            operator.sign_ceiling(wallet, 9 * VIBES)
        for wallet, charge_base, partner in (
            (alice, 1_234_567, 1), (alice, 99, 2), (bob, 700_001, 2), (bob, 2, 1), (bob, 11, 0),
        ):  # fmt: skip
            operator.charge(wallet, charge_base, partner)
        assert pipeline.settle_once() is not None
        operator.charge(alice, 345_678, 1)
        operator.charge(bob, 33, 2)
        assert pipeline.settle_once() is not None
        stack.send(stack.relayer, stack.settlement.functions.claimPartner(2))
        pipeline.sync()


@pytest.fixture
def http(place: Place) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=place.url, timeout=30) as client:
        yield client


def bundle(http: httpx.Client, number: int, partner: int = PARTNER) -> tuple[dict[str, Any], list[Any]]:
    """A bundle's first line, and the pieces of the tree in it."""
    answer = http.get(f"/partners/{partner}/batches/{number}.jsonl")
    assert answer.status_code == 200, answer.text
    head, *lines = [json.loads(line) for line in answer.text.splitlines()]
    return head, [piece_of(line) for line in lines]


def piece_of(line: list[Any]) -> Leaf | Subtree:
    digest, amount = bytes.fromhex(line[-2][2:]), int(line[-1])
    return (digest, amount) if len(line) == 2 else Subtree(line[0], (digest, amount))


def own(pieces: list[Any]) -> list[Leaf]:
    return [piece for piece in pieces if not isinstance(piece, Subtree)]


# -- over HTTP


def test_everybody_sees_what_partners_earned(http: httpx.Client) -> None:
    page = http.get("/partners").text
    for name, _ in PARTNERS:
        assert name in page
    assert "30 %" in page
    assert re.search(rf'value="{GROSS_BASE}".*value="0".*value="{SHARE_BASE}"', page, re.S)
    page = http.get("/partners/1").text
    for figure in (GROSS_BASE, 0, SHARE_BASE):
        assert f'<data class="money" value="{figure}">' in page
    assert "of 0.474074 VIBES earned" in page


def test_a_screened_payout_wallet_gets_no_help_with_claiming(place: Place, http: httpx.Client) -> None:
    refused = place.operator.folder / "refused.txt"
    refused.write_text(f"{place.stack.payouts[1].address}\n")
    try:
        page = http.get("/partners/2").text  # for the first time: what is shown may be a minute old
        assert 'id="claim"' not in page
        assert "does not help with claims" in page
        assert 'id="claim"' in http.get("/partners/1").text
    finally:
        refused.write_text("")


def test_a_paid_partner_has_less_to_claim(http: httpx.Client) -> None:
    paid_base = (99 + 700_001 + 33) * PARTNERS[1][1] // 10_000
    page = http.get("/partners/2").text
    assert f'data-paid="{paid_base}"' in page
    assert 'data-claimable="0"' in page


@pytest.mark.parametrize("partner", [0, 1, 2])
@pytest.mark.parametrize("number", [1, 2])
def test_a_bundle_leads_from_the_partners_receipts_to_the_anchored_root(
    place: Place, http: httpx.Client, number: int, partner: int
) -> None:
    ledger = place.operator.ledger
    batch = ledger.read(lambda connection: batches.batch(connection, number))
    words = ledger.read(lambda connection: batches.partner_words(connection, number))
    credited = {word.partner_id: word.gross_base for word in words}
    assert batch is not None
    if partner not in credited:
        assert http.get(f"/partners/{partner}/batches/{number}.jsonl").status_code == 404
        return
    head, pieces = bundle(http, number, partner)
    assert head == {
        "format": "vibes-partner-bundle/1",
        "chain_id": place.stack.chain_id,
        "settlement": place.stack.settlement.address,
        "batch": number,
        "transaction": batch.tx_hash,
        "receipts_root": batch.receipts_root,
        "receipts_total_base": str(batch.receipts_total_base),
        "partner": partner,
        "partner_gross_base": str(credited[partner]),
    }
    root, total_base = root_of_tiles(pieces)
    assert ("0x" + root.hex(), total_base) == (batch.receipts_root, batch.receipts_total_base)
    assert sum(charge_base for _, charge_base in own(pieces)) == credited[partner]


def test_the_bundles_of_a_partner_hold_all_its_receipts_as_the_audit_finds_them(
    place: Place, http: httpx.Client, tmp_path: Path
) -> None:
    receipts = place.operator.ledger.read(lambda connection: list(read.iter_receipts(connection)))
    file = export(tmp_path / "receipts.jsonl", receipts)
    audited = run_audit(place.stack.url, place.stack.settlement.address, file)
    assert audited.code == 0, audited.output
    domain = ReceiptDomain(place.stack.chain_id, place.stack.settlement.address)
    for partner in (0, 1, 2):
        numbers = (1,) if partner == 0 else (1, 2)
        bundled = [leaf for number in numbers for leaf in own(bundle(http, number, partner)[1])]
        assert sorted(bundled) == sorted(
            (one.receipt.digest(domain), one.receipt.charge_base)
            for one in receipts
            if one.receipt.partner == partner
        )


def test_a_partner_audits_itself_from_the_chain_and_the_routers_bundles(place: Place) -> None:
    options = ("--partner", PARTNERS[0][0], "--bundles", place.url, "--json")
    audited = run_audit(place.stack.url, place.stack.settlement.address, None, *options)
    assert audited.code == 0, audited.output
    (partner,) = audited.report["partners"]
    assert audited.report["bundles"]["charged_base"] == partner["gross"]


def test_a_bundle_tells_nothing_of_a_receipt_but_its_hash_and_charge(http: httpx.Client) -> None:
    answer = http.get("/partners/1/batches/1.jsonl")
    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["content-disposition"] == 'attachment; filename="partner-1-batch-1.jsonl"'
    _, *lines = answer.text.splitlines()
    for line in lines:
        assert re.fullmatch(r'\[(\d+,)?"0x[0-9a-f]{64}","\d+"\]', line)


def test_the_list_of_batches_is_whole(http: httpx.Client) -> None:
    lines = [json.loads(line) for line in http.get("/partners/1/batches.jsonl").text.splitlines()]
    assert [line["batch"] for line in lines] == [2, 1]
    assert sum(int(line["gross"]) for line in lines) == GROSS_BASE


@pytest.mark.parametrize(
    "path",
    ["/partners/3", "/partners/0", "/partners/1/batches/3.jsonl", "/partners/3/batches.jsonl",
     "/partners/99999999999999999999", "/partners/1/batches/99999999999999999999.jsonl"],
)  # fmt: skip
def test_what_is_not_there_is_told(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_the_page_may_connect_to_the_visitors_node_and_nowhere_else(http: httpx.Client) -> None:
    def connects(rpc: str) -> str:
        policy = http.get("/partners/1", params={"rpc": rpc}).headers["content-security-policy"]
        found = re.search(r"connect-src ([^;]*);", policy)
        assert found is not None
        return found[1]

    assert connects("") == "'self'"
    assert connects("https://rpc.example/v3/secret") == "'self' https://rpc.example"
    assert connects("https://rpc.example; script-src *") == "'self'"
    assert "That is not an address of a node" in http.get("/partners/1", params={"rpc": "*"}).text


# -- in a browser


def verify(page: Page, url: str | None = None) -> None:
    if url is not None:
        page.get_by_label("Address of the node").fill(url)
    page.get_by_role("button", name="Verify all figures").click()


def test_a_visitor_checks_everything_through_a_node_of_their_own(place: Place, tabs: Tabs) -> None:
    page = tabs.open()
    page.goto(place.page_url)
    verify(page, f"{place.stack.url}/?key=secret")
    status = page.locator("#verify-status")
    expect(status).to_contain_text("all figures of this page: all")
    expect(page.locator("#checks tr.bad")).to_have_count(0)
    assert "secret" not in page.url
    for number in (1, 2):
        page.get_by_role("button", name=f"Verify batch {number}").click()
        expect(status).to_have_text(f"Checked batch {number}: all 12 checks hold.")


def test_a_batch_can_be_asked_for_first(place: Place, tabs: Tabs) -> None:
    """The page is loaded anew for the connection, and goes on with what was asked for."""
    page = tabs.open()
    page.goto(place.page_url)
    page.get_by_label("Address of the node").fill(place.stack.url)
    page.get_by_role("button", name="Verify batch 2").click()
    expect(page.locator("#verify-status")).to_have_text("Checked batch 2: all 12 checks hold.")


def test_a_visitor_checks_through_the_wallets_node(place: Place, tabs: Tabs) -> None:
    page = tabs.open(place.wallet(labelled_account("visitor")))
    page.goto(place.page_url)
    page.get_by_label("The node behind Test Wallet").check()
    verify(page)
    expect(page.locator("#verify-status")).to_contain_text("Checked all figures of this page: all")
    assert "rpc=" not in page.url


def test_a_tampered_bundle_is_named(place: Place, tabs: Tabs, http: httpx.Client) -> None:
    page = tabs.open()
    honest = http.get("/partners/1/batches/1.jsonl").text
    page.route(
        "**/batches/1.jsonl", lambda route: route.fulfill(body=honest.replace('"1234567"', '"1234566"'))
    )
    page.goto(f"{place.page_url}?rpc={place.stack.url}")
    page.get_by_label("Address of the node").fill(place.stack.url)
    page.get_by_role("button", name="Verify batch 1").click()
    status = page.locator("#verify-status")
    expect(status).to_contain_text("Do not trust batch 1. The first check that fails: The tree with the")
    expect(page.locator("#checks tr.bad")).to_have_count(3)


def test_a_node_that_lies_is_named(place: Place, tabs: Tabs) -> None:
    lie = change_view(place.stack.settlement, "partnerAccount", 4)
    with lying_node(place.stack.url, lie) as url:
        page = tabs.open()
        page.goto(place.page_url)
        verify(page, url)
        expect(page.locator("#verify-status")).to_contain_text(
            "Do not trust all figures of this page. The first check that fails: The share since then"
        )


def test_an_address_that_is_none_and_a_node_that_is_away_are_told(place: Place, tabs: Tabs) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    tabs.announce("ERR_CONNECTION_REFUSED")
    page = tabs.open()
    page.goto(place.page_url)
    status = page.locator("#verify-status")
    page.get_by_role("button", name="Verify batch 1").click()
    expect(status).to_contain_text("Type the address of a node first")
    verify(page, away)
    expect(status).to_contain_text(
        f"Not checked: all figures of this page. The node at {away} cannot be reached"
    )
    expect(status).to_have_class("caution")
    expect(page.locator("#found")).to_be_hidden()


def claim(page: Page, place: Place) -> None:
    page.goto(place.page_url)
    page.get_by_role("button", name="Claim with Test Wallet").click()


@pytest.mark.parametrize(
    ("moods", "words"),
    [
        ({"refuses": frozenset({"eth_sendTransaction"})}, "You declined in your wallet"),
        ({"refuses": frozenset({"eth_requestAccounts"})}, "You declined in your wallet"),
        ({"locked": True}, "Your wallet is locked"),
        ({"rpc": "down"}, "Your wallet cannot reach its network"),
        (
            {"chain_id": 1, "refuses": frozenset({"wallet_switchEthereumChain"})},
            "Your wallet is on another network. Switch it to chain 31337",
        ),
    ],
    ids=["declined", "not-connected", "locked", "node-down", "wrong-network"],
)
def test_a_claim_that_cannot_be_sent_says_why(
    place: Place, tabs: Tabs, moods: dict[str, Any], words: str
) -> None:
    page = tabs.open(place.wallet(place.stack.payouts[0], **moods))
    claim(page, place)
    expect(page.locator("#claim-status")).to_contain_text(words)
    assert claimable(place) == SHARE_BASE


def test_another_wallet_is_told_whose_claim_it_is(place: Place, tabs: Tabs) -> None:
    wallet = place.wallet(labelled_account("visitor"))
    page = tabs.open(wallet)
    claim(page, place)
    payout = place.stack.payouts[0].address.lower()
    expect(page.locator("#claim-status")).to_contain_text(
        f"this partner is paid at {payout[:6]}…{payout[-4:]}. You could send the claim"
    )
    assert wallet.count("eth_sendTransaction") == 0


def test_without_a_wallet_the_page_says_where_to_claim(place: Place, tabs: Tabs) -> None:
    page = tabs.open()
    page.goto(place.page_url)
    expect(page.locator("#claim-status")).to_contain_text("No wallet was found in this browser")


@pytest.mark.parametrize("path", ["/partners", "/partners/1"])
def test_the_pages_are_light_accessible_and_fit_a_phone(place: Place, tabs: Tabs, path: str) -> None:
    check_page(tabs.open(place.wallet(labelled_account("visitor"))), place.url + path)


def test_the_checks_are_accessible_too(place: Place, tabs: Tabs) -> None:
    page = tabs.open()
    page.goto(place.page_url)
    verify(page, place.stack.url)
    expect(page.locator("#verify-status")).to_contain_text("checks hold")
    assert grave_violations(page) == []


def test_the_page_is_whole_without_scripts(place: Place, tabs: Tabs) -> None:
    page = tabs.open(java_script_enabled=False)
    page.goto(place.page_url)
    expect(page.get_by_role("button", name="Verify all figures")).to_be_hidden()
    expect(page.get_by_role("link", name="Bundle of batch 1")).to_be_visible()


def test_the_payout_address_claims_once(place: Place, tabs: Tabs) -> None:
    """The last of this file: the others count on what can be claimed before."""
    payout = place.stack.payouts[0]
    page = tabs.open(place.wallet(payout))
    claim(page, place)
    status = page.locator("#claim-status")
    expect(status).to_contain_text(f"0.474074 VIBES were paid to {payout.address.lower()} by transaction 0x")
    assert place.stack.token.functions.balanceOf(payout.address).call() == SHARE_BASE
    claim(page, place)
    expect(status).to_contain_text("There is nothing to claim")
    place.publish()
    page.reload()
    expect(page.locator(f'.card data[value="{SHARE_BASE}"]')).to_be_visible()
    verify(page, place.stack.url)
    expect(page.locator("#verify-status")).to_contain_text("checks hold")


def claimable(place: Place) -> int:
    return int(place.stack.settlement.functions.partnerClaimable(PARTNER).call())
