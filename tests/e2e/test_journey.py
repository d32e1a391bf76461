"""A person's whole journey through the pages, in a real browser, every part behind them real."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import select
from support.anvil import running_anvil
from support.injected import InjectedWallet
from support.operator import operating
from support.site import Site, running_site
from support.stack import PARTNERS, VIBES, Stack, labelled_account
from support.tabs import Tabs

from router.ledger import create_api_key
from router.ledger.models import ACCOUNT

DEPOSIT_BASE = 200 * VIBES
SETTLE_S = 150
"""A proof takes seconds on a free core; this is for a machine that has none."""


@pytest.fixture(scope="module")
def site(circuits_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        running_anvil() as node,
        operating(Stack(node), folder, circuits_dir) as operator,
        running_site(operator) as running,
    ):
        yield running


def sign_in(site: Site, page: Page, wallet: InjectedWallet, path: str = "/wallet") -> None:
    """Connects and signs, on the way to a page that needs it."""
    page.goto(f"{site.url}{path}")
    page.get_by_role("button", name=f"Sign in with {wallet.name}").click()
    page.wait_for_url(f"{site.url}{path}")


def go(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Wallet").get_by_role("link", name=name).click()


def part(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True)


def reload_until(page: Page, seen: Locator, again: Callable[[], object] = lambda: None) -> None:
    """Loads a page anew, as a person who waits would, until something is to be seen on it."""
    deadline = time.monotonic() + SETTLE_S
    while not seen.is_visible():
        assert time.monotonic() < deadline, page.inner_text("main")
        page.wait_for_timeout(500)
        page.reload()
        again()


def connect(page: Page) -> None:
    """Shows the money page the wallet; it then says what the chain has."""
    page.get_by_role("button", name="Connect Test Wallet").click()
    expect(page.get_by_role("status")).to_contain_text("Connected")


def deposit(page: Page, amount: str) -> None:
    part(page, "Deposit").get_by_label("Amount in VIBES").fill(amount)
    page.get_by_role("button", name="Deposit with one signature").click()


def test_from_an_empty_browser_to_a_paid_call_and_back(site: Site, tabs: Tabs) -> None:
    stack = site.operator.stack
    wallet = site.wallet("alice", DEPOSIT_BASE, ether=False)
    page = tabs.open(wallet)
    sign_in(site, page, wallet)
    page.get_by_role("link", name="Deposit", exact=True).click()

    deposit(page, "200")
    expect(page.get_by_role("status")).to_contain_text("200.00 VIBES are deposited")
    assert (site.tokens_base(wallet), wallet.count("eth_sendTransaction")) == (0, 0)
    go(page, "Overview")
    reload_until(page, page.get_by_role("heading", name="Account 1", exact=True))

    go(page, "Money")
    part(page, "Session key and daily ceiling").get_by_label("Most in one day, in VIBES").fill("150")
    page.get_by_label("Sign all of it now").check()
    page.get_by_role("button", name="Allow spending").click()
    expect(page.get_by_role("status")).to_contain_text("allows 150.00 VIBES more")

    go(page, "API keys")
    page.get_by_label("Name").fill("laptop")
    page.get_by_role("button", name="Make the key").click()
    api_key = page.locator("code.secret").inner_text()
    page.get_by_role("link", name="I have it").click()
    expect(page.get_by_role("heading", name="laptop")).to_be_visible()
    assert api_key not in page.content()

    charged_base = call(site, api_key)
    go(page, "Usage")
    expect(page.locator("data.money").first).to_have_attribute("value", str(charged_base))
    go(page, "Requests")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    rows.first.get_by_role("link").first.click()
    reload_until(page, page.get_by_text("Final: batch"))
    assert stack.settlement.functions.totals().call()[0] == charged_base
    tx_hash = page.locator("code", has_text=re.compile("^0x[0-9a-f]{64}$")).all_inner_texts()
    assert any(stack.web3.eth.get_transaction_receipt(one)["status"] == 1 for one in tx_hash[-2:-1])

    stack.anvil.rpc("anvil_setBalance", wallet.address, hex(10**18))
    go(page, "Money")
    page.get_by_label("Everything that is left").check()
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_role("status")).to_contain_text("Asked for")
    reload_until(page, page.get_by_role("button", name="Pay out to the wallet"), lambda: connect(page))
    page.get_by_role("button", name="Pay out to the wallet").click()
    expect(page.get_by_role("status")).to_contain_text("are in your wallet")
    assert site.tokens_base(wallet) == DEPOSIT_BASE - charged_base


def call(site: Site, api_key: str) -> int:
    """Two paid calls by the official client, one of them streaming; returns what they cost, base units."""
    question = [{"role": "user", "content": "What is a ceiling?"}]
    with openai.OpenAI(base_url=f"{site.url}/v1", api_key=api_key, max_retries=0) as client:
        before_base = int(client.get("/account", cast_to=object)["spent_base"])
        whole = client.chat.completions.with_raw_response.create(model="pithy-1", messages=question)
        assert whole.parse().choices[0].message.content
        stream = client.chat.completions.create(model="deep-1", messages=question, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        charged_base = int(client.get("/account", cast_to=object)["spent_base"]) - before_base
    assert charged_base > int(whole.headers["x-vibes-charge-base"]) > 0
    return charged_base


def test_who_declines_to_sign_in_is_told_and_nothing_is_kept(site: Site, tabs: Tabs) -> None:
    wallet = site.wallet("decliner", VIBES)
    page = tabs.open(wallet)
    page.goto(f"{site.url}/signin")
    button = page.get_by_role("button", name="Sign in with Test Wallet")
    for refused in ("eth_requestAccounts", "personal_sign"):
        wallet.refuses = frozenset({refused})
        button.click()
        expect(page.get_by_role("status")).to_contain_text("You declined in your wallet")
        assert page.context.cookies() == []
    wallet.refuses, wallet.locked = frozenset(), True
    button.click()
    expect(page.get_by_role("status")).to_contain_text("Unlock it")
    assert page.context.cookies() == []
    wallet.locked = False
    button.click()
    page.wait_for_url(f"{site.url}/wallet")


def rejected(wallet: InjectedWallet) -> None:
    wallet.refuses = frozenset({"eth_signTypedData_v4"})


def on_another_network(wallet: InjectedWallet) -> None:
    wallet.chain_id, wallet.refuses = 1, frozenset({"wallet_switchEthereumChain"})


def locked(wallet: InjectedWallet) -> None:
    wallet.locked = True


def without_a_node(wallet: InjectedWallet) -> None:
    wallet.rpc = "down"


def another_account(wallet: InjectedWallet) -> None:
    wallet.account = labelled_account("somebody else")


@pytest.mark.parametrize(
    ("goes_wrong", "told"),
    [
        (rejected, "You declined in your wallet. Nothing was done"),
        (on_another_network, "Your wallet is on another network. Switch it to"),
        (locked, "Your wallet is locked"),
        (without_a_node, "Your wallet cannot reach its network"),
        (another_account, "but you are signed in as"),
    ],
    ids=["rejected", "wrong-network", "locked", "rpc-down", "another-account"],
)
def test_a_deposit_that_fails_says_why_and_changes_nothing(
    site: Site, tabs: Tabs, goes_wrong: Callable[[InjectedWallet], None], told: str
) -> None:
    wallet = site.wallet(f"unlucky {goes_wrong.__name__}", 150 * VIBES, ether=False)
    owner = wallet.account
    page = tabs.open(wallet)
    sign_in(site, page, wallet, "/wallet/money")
    goes_wrong(wallet)
    deposit(page, "150")
    expect(page.get_by_role("status")).to_contain_text(told)
    expect(page.get_by_role("button", name="Deposit with one signature")).to_be_enabled()
    stack = site.operator.stack
    assert stack.token.functions.balanceOf(owner.address).call() == 150 * VIBES
    assert stack.settlement.functions.indexOf(owner.address).call() == 0


@pytest.fixture(scope="module")
def api_key(site: Site) -> str:
    """Of a customer who came another way and has money."""
    operator = site.operator
    customer = operator.stack.wallet("customer", 100 * VIBES)
    operator.stack.deposit(customer, 100 * VIBES)

    def known() -> bool:
        owned = select(ACCOUNT.c.idx).where(ACCOUNT.c.idx == customer.idx)
        return operator.ledger.read(lambda connection: connection.scalar(owned)) is not None

    wait_for(known)
    operator.sign_ceiling(customer, 100 * VIBES)
    made = operator.ledger.run(lambda connection: create_api_key(connection, customer.idx, "customer"))
    return made.secret


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_partner_verifies_and_claims(site: Site, tabs: Tabs, api_key: str) -> None:
    stack, totals = site.operator.stack, site.operator.stack.settlement.functions.totals()
    before_base = totals.call()[0]
    charged_base = call(site, api_key)
    wait_for(lambda: totals.call()[0] >= before_base + charged_base)
    claimable_base = stack.settlement.functions.partnerClaimable(1).call()
    payout = InjectedWallet(stack.funded(PARTNERS[0][0]), stack.anvil)
    assert payout.address == stack.payouts[0].address

    page = tabs.open(payout)
    page.goto(f"{site.url}/partners")
    page.get_by_role("link", name="pithy-labs").first.click()
    claimable = page.locator(f'data.money[value="{claimable_base}"]')
    reload_until(page, claimable.first)
    page.get_by_label("Address of the node").fill(stack.url)
    page.get_by_role("button", name="Verify all figures").click()
    expect(page.locator("#verify-status")).to_contain_text("checks hold", timeout=60_000)

    stranger = InjectedWallet(stack.funded("stranger"), stack.anvil, name="Stranger")
    other = tabs.open(stranger)
    other.goto(page.url)
    other.get_by_role("button", name="Claim with Stranger").click()
    expect(other.locator("#claim-status")).to_contain_text("choose that account in your wallet")

    page.get_by_role("button", name="Claim with Test Wallet").click()
    expect(page.locator("#claim-status")).to_contain_text("were paid to")
    assert stack.token.functions.balanceOf(payout.address).call() == claimable_base
    assert (stranger.count("eth_sendTransaction"), payout.count("eth_sendTransaction")) == (0, 1)


def test_the_operators_figures_move_under_load(site: Site, tabs: Tabs, api_key: str) -> None:
    page = tabs.open()
    page.goto(f"{site.admin_url}/operator")
    page.get_by_label("Operator’s key").fill(site.admin_key)
    page.get_by_role("button", name="Sign in").click()
    calls = page.locator('[data-figure="calls-today"]')
    before = int(calls.inner_text().replace(",", ""))
    with ThreadPoolExecutor(4) as customers:
        under_way = [customers.submit(call, site, api_key) for _ in range(12)]
        expect(page.locator('[data-figure="calls"]')).not_to_have_text("0.0 /s", timeout=30_000)
        for one in under_way:
            one.result()
    expect(calls).to_have_text(f"{before + 24}", timeout=30_000)
