"""The money page in a real browser, with wallets on a real chain; the tests settle batches themselves."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from deposit_world import Harbour, make_harbour
from playwright.sync_api import Page, Route, expect
from router_upstream import Upstream
from router_world import World
from sqlalchemy import Connection
from support.anvil import running_anvil
from support.injected import InjectedWallet, Refusal
from support.leaving import pass_time
from support.page_checks import check_page
from support.ports import free_port
from support.settling import SIZE, Settling
from support.stack import SERVICE_DEADLINE_S, VIBES, Stack, Wallet
from support.tabs import Tabs

from bridge.prover import Prover
from bridge.rollup.batch import Slot
from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import (
    derive_session_secret,
    key_commitment,
    session_key_typed_data,
    verify_ceiling,
)
from router.ledger import chain, read
from router.ledger.views import AccountView
from router.people import custody

STEP_MS, ANSWER_MS = 5_000, 15_000
"""Of the page: between two looks at what is to be signed; in which a node has to answer."""


@dataclass
class Bay:
    """A router, its chain, and what stands for the bridge."""

    harbour: Harbour
    settling: Settling

    @property
    def stack(self) -> Stack:
        return self.harbour.stack

    @property
    def world(self) -> World:
        return self.harbour.world

    @property
    def url(self) -> str:
        return self.world.router.url.removesuffix("/v1")

    def account(self, wallet: Wallet, key_commit: int | None = None) -> AccountView:
        """Tells the ledger what the contract has got of a wallet, as the bridge would."""
        functions = self.stack.settlement.functions
        wallet.idx = functions.indexOf(wallet.address).call()
        pending_base = functions.account(wallet.idx).call()[1]

        def learn(connection: Connection) -> None:
            chain.open_account(connection, wallet.idx, wallet.address)
            chain.credit_deposit(connection, wallet.idx, pending_base, f"deposit:{wallet.idx}")
            chain.request_key(connection, wallet.idx, key_commit or wallet.key_commit, f"key:{wallet.idx}")

        self.world.ledger.run(learn)
        return self.view(wallet)

    def view(self, wallet: Wallet) -> AccountView:
        return self.world.ledger.read(lambda connection: read.account_view(connection, wallet.idx))

    def on_chain(self, wallet: Wallet) -> Any:
        functions = self.stack.settlement.functions
        return functions.account(functions.indexOf(wallet.address).call()).call()

    def tokens(self, wallet: Wallet) -> int:
        return int(self.stack.token.functions.balanceOf(wallet.address).call())


@pytest.fixture(scope="module")
def bay(upstream: Upstream, circuits_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bay]:
    with running_anvil() as anvil:
        stack = Stack(anvil)
        with Prover(circuits_dir, (SIZE,), stack.chain_id) as prover:
            harbour = make_harbour(tmp_path_factory.mktemp("bay"), upstream, stack, port=free_port())
            yield Bay(harbour, Settling(stack, prover))
            harbour.close()


def visitor(bay: Bay, label: str, ether: bool = False) -> tuple[Wallet, InjectedWallet]:
    """A wallet with 100 VIBES, in a browser."""
    wallet = bay.stack.wallet(f"money {label}", 100 * VIBES)
    if ether:
        bay.stack.fund_gas(wallet)
    return wallet, InjectedWallet(wallet.account, bay.stack.anvil)


def enter(bay: Bay, page: Page) -> None:
    """Signs in and comes to the money page."""
    page.goto(f"{bay.url}/wallet/money")
    page.get_by_role("button", name="Sign in with").click()
    page.wait_for_url(f"{bay.url}/wallet/money")


def load_with_account(page: Page) -> None:
    """Loads the page until its session knows the new account: what it may is looked up every two seconds."""
    deadline = time.monotonic() + 15
    while not page.locator(".card").count() and time.monotonic() < deadline:
        page.wait_for_timeout(300)
        page.reload()


def own_commit(bay: Bay, wallet: Wallet, number: int) -> int:
    """Commitment of a wallet's session key of this number."""
    typed = session_key_typed_data(bay.stack.chain_id, bay.stack.settlement.address, number)
    signature = bytes(wallet.account.sign_typed_data(full_message=typed).signature)
    return key_commitment(public_key(derive_session_secret(signature)))


def said(page: Page, text: str) -> None:
    expect(page.locator("#said")).to_contain_text(text)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_a_first_deposit_with_an_own_key_and_no_gas(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "own")
    page = tabs.open(injected)
    enter(bay, page)
    press(page, "Connect Test Wallet")
    expect(page.locator("#in-wallet")).to_have_text("100.00 VIBES")
    expect(page.locator("#status-on-chain")).to_contain_text("none yet")
    page.get_by_label("Amount in VIBES").first.fill("12.5")
    press(page, "Deposit with one signature")
    said(page, "12.50 VIBES are deposited")
    told = bay.on_chain(wallet)
    assert (told[0], told[1], told[6]) == (wallet.address, 12_500_000, wallet.key_commit)
    expect(page.locator("#pending")).to_have_text("12.50 VIBES")
    assert injected.count("eth_sendTransaction") == 0
    assert injected.count("eth_signTypedData_v4") == 2  # the key, and the deposit
    bay.account(wallet)
    load_with_account(page)
    expect(page.locator(".card").first).to_contain_text("12.50")
    page.get_by_label("Amount in VIBES").first.fill("1")
    page.keyboard.press("Enter")
    said(page, "1.00 VIBES are deposited")
    assert injected.count("eth_signTypedData_v4") == 3  # one signature


@pytest.mark.parametrize("lost", ["POST", "GET"])
def test_who_tries_again_after_a_lost_answer_deposits_once(bay: Bay, tabs: Tabs, lost: str) -> None:
    wallet, injected = visitor(bay, f"lost {lost}")
    page = tabs.open(injected)
    enter(bay, page)
    left = [lost]

    def lose(route: Route) -> None:
        if route.request.method not in left:
            if lost == "GET" and left and route.request.method == "POST":  # as if the chain took its time
                told = route.fetch()
                route.fulfill(response=told, json=told.json() | {"state": "sent"})
                return
            route.continue_()
            return
        left.clear()
        route.fetch()
        route.abort()

    page.route("**/v1/deposits**", lose)
    tabs.announce("ERR_FAILED")
    page.get_by_label("Amount in VIBES").first.fill("5")
    press(page, "Deposit with one signature")
    said(page, "The router cannot be reached")
    press(page, "Deposit with one signature")
    said(page, "5.00 VIBES are deposited")
    assert bay.on_chain(wallet)[1] == 5 * VIBES
    assert injected.count("eth_signTypedData_v4") == 2  # the key, and one deposit


def test_a_first_deposit_with_a_key_that_the_router_holds_and_its_limit(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "held")
    page = tabs.open(injected)
    enter(bay, page)
    press(page, "Connect Test Wallet")
    page.get_by_label("Amount in VIBES").first.fill("20")
    page.get_by_label(re.compile("A key that the router holds")).check()
    press(page, "Deposit with one signature")
    said(page, "20.00 VIBES are deposited")
    assert injected.count("eth_signTypedData_v4") == 1
    commit = bay.on_chain(wallet)[6]
    held = bay.world.ledger.read(lambda connection: custody.find_held_key(connection, commit))
    assert held is not None
    bay.account(wallet, commit)
    load_with_account(page)
    page.get_by_label(re.compile("Most that may be spent")).fill("7.5")
    press(page, "Set the limit")
    page.wait_for_load_state()
    expect(page.get_by_label(re.compile("now 7.50 more"))).to_be_visible()
    held = bay.world.ledger.read(lambda connection: custody.find_held_key(connection, commit))
    assert held is not None
    assert held.limit_base == 7_500_000
    expect(page.locator(".card").nth(1)).to_contain_text("7.50")


def test_an_approval_and_a_deposit_from_the_wallet(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "approval", ether=True)
    page = tabs.open(injected)
    enter(bay, page)
    page.get_by_label("Amount in VIBES").first.fill("3")
    press(page, "Approve and deposit from the wallet")
    said(page, "3.00 VIBES are deposited")
    assert injected.count("eth_sendTransaction") == 2
    assert bay.on_chain(wallet)[1] == 3 * VIBES


def test_the_own_key_signs_ceilings_in_small_steps_up_to_the_day_s_limit(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "ceiling")
    bay.stack.deposit(wallet, 50 * VIBES)
    bay.account(wallet)
    page = tabs.open(injected)
    enter(bay, page)
    page.get_by_label("Most in one day, in VIBES").fill("30")
    press(page, "Allow spending")
    said(page, "allows 30.00 VIBES more")
    expect(page.get_by_role("button", name="Stop signing")).to_be_visible()
    signed = bay.world.ledger.read(lambda connection: read.ceiling(connection, wallet.idx))
    assert signed is not None
    assert verify_ceiling(bay.stack.domain, signed)
    assert signed.ceiling_base == 30 * VIBES
    press(page, "Stop signing")
    page.get_by_label("Most in one day, in VIBES").fill("500")
    press(page, "Allow spending")
    said(page, "allows 100.00 VIBES more")  # a dollar at par ahead, though the day allows more
    page.get_by_label(re.compile("Sign all of it now")).check()
    press(page, "Allow spending")
    said(page, "allows 500.00 VIBES more. You can close this page.")
    assert bay.view(wallet).ceiling_base == 500 * VIBES
    assert injected.count("eth_signTypedData_v4") == 1  # the key stays while the page is open
    stored = page.evaluate("JSON.stringify(localStorage) + document.cookie")
    assert str(wallet.session_secret) not in stored
    assert f"{wallet.session_secret:x}" not in stored


def test_signing_outlives_a_router_that_is_away_and_an_action_that_fails(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "left open")
    bay.stack.deposit(wallet, 50 * VIBES)
    bay.account(wallet)
    page = tabs.open(injected)
    enter(bay, page)
    page.clock.install()
    page.get_by_label("Most in one day, in VIBES").fill("30")
    press(page, "Allow spending")
    said(page, "allows 30.00 VIBES more")
    tabs.announce("ERR_FAILED")
    page.route("**/v1/account", lambda route: route.abort(), times=1)
    page.clock.fast_forward(STEP_MS)
    said(page, "The router cannot be reached. Check your connection and try again. This page goes on trying.")
    page.clock.fast_forward(STEP_MS)
    said(page, "allows 30.00 VIBES more")
    page.get_by_label("Amount in VIBES").first.fill("many")
    press(page, "Deposit with one signature")
    said(page, "Type an amount in VIBES")
    expect(page.get_by_role("button", name="Stop signing")).to_be_visible()
    with page.expect_response("**/v1/account"):
        page.clock.fast_forward(STEP_MS)
    said(page, "Type an amount in VIBES")  # nothing was signed, so nothing is said
    tabs.announce("401")
    page.context.clear_cookies()
    page.clock.fast_forward(STEP_MS)
    said(page, "Your session has ended. Sign in again")
    expect(page.get_by_role("button", name="Stop signing")).to_be_hidden()


def test_a_node_that_says_nothing_leaves_no_page_waiting(bay: Bay, tabs: Tabs) -> None:
    _, injected = visitor(bay, "no answer")
    page = tabs.open(injected)
    enter(bay, page)
    page.clock.install()
    injected.rpc = "hangs"
    page.get_by_label("Amount in VIBES").first.fill("5")
    press(page, "Deposit with one signature")
    said(page, "Your wallet …")
    page.clock.fast_forward(ANSWER_MS)
    said(page, "Your wallet cannot reach its network")
    expect(page.get_by_role("button", name="Deposit with one signature")).to_be_enabled()


def test_a_node_that_is_away_after_a_transaction_was_sent_does_not_invite_to_a_second(
    bay: Bay, tabs: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet, injected = visitor(bay, "away", ether=True)
    asking, failures = injected._node, iter(range(2))

    def node(method: str, params: Any) -> Any:
        if method == "eth_getTransactionReceipt" and next(failures, None) is not None:
            raise Refusal(4900, "The node is away.")
        return asking(method, params)

    monkeypatch.setattr(injected, "_node", node)
    page = tabs.open(injected)
    enter(bay, page)
    page.get_by_label("Amount in VIBES").first.fill("5")
    press(page, "Approve and deposit from the wallet")
    said(page, "5.00 VIBES are deposited")
    assert bay.tokens(wallet) == 95 * VIBES


def test_a_withdrawal_is_asked_for_served_and_paid_out(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "withdrawal", ether=True)
    bay.stack.deposit(wallet, 40 * VIBES)
    bay.account(wallet)
    bay.settling.settle(Slot(wallet.idx, deposit=40 * VIBES, key_commit=wallet.key_commit))
    page = tabs.open(injected)
    enter(bay, page)
    page.get_by_role("textbox", name="Amount in VIBES").last.fill("15")
    press(page, "Ask for it")
    said(page, "Asked for")
    assert bay.on_chain(wallet)[2] == 15 * VIBES
    expect(page.locator("#request-words")).to_contain_text("15.00 VIBES were asked for; the operator has")
    expect(page.locator("#deadline-length")).to_have_text("7 days")
    expect(page.get_by_role("button", name="Freeze the account")).to_be_hidden()
    press(page, "Ask for it")
    said(page, "one at a time")
    bay.settling.settle(Slot(wallet.idx, withdraw=15 * VIBES))
    press(page, "Connect Test Wallet")
    press(page, "Pay out to the wallet")
    said(page, "15.00 VIBES are in your wallet")
    assert bay.tokens(wallet) == 75 * VIBES


def test_a_silent_operator_a_cancelled_deposit_and_a_freeze(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "silence", ether=True)
    bay.stack.deposit(wallet, 40 * VIBES)
    bay.account(wallet)
    bay.settling.settle(Slot(wallet.idx, deposit=30 * VIBES, key_commit=wallet.key_commit))
    page = tabs.open(injected)
    with bay.settling.branch():
        enter(bay, page)
        page.get_by_label(re.compile("Everything that is left")).check()
        press(page, "Ask for it")
        said(page, "Asked for")
        press(page, "Take the deposit back")
        said(page, "Announced: 10.00 VIBES")
        expect(page.get_by_role("button", name="Finish taking it back")).to_be_hidden()
        pass_time(bay.stack, SERVICE_DEADLINE_S + 1)
        press(page, "Connect Test Wallet")
        press(page, "Finish taking it back")
        said(page, "ready to be paid out")
        press(page, "Freeze the account")
        said(page, "The account is frozen")
        assert bay.on_chain(wallet)[9] == 3
        press(page, "Pay out to the wallet")
        said(page, "10.00 VIBES are in your wallet")
        assert bay.tokens(wallet) == 70 * VIBES


def test_the_session_key_is_changed(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "change", ether=True)
    bay.stack.deposit(wallet, 10 * VIBES)
    bay.account(wallet)
    bay.settling.settle(Slot(wallet.idx, deposit=10 * VIBES, key_commit=wallet.key_commit))
    page = tabs.open(injected)
    enter(bay, page)
    page.get_by_text("Change the session key").click()
    press(page, "Change the key")
    said(page, "The new key is asked for")
    assert bay.on_chain(wallet)[6] == own_commit(bay, wallet, 1)


FAULTS = {
    "declined": (
        {"refuses": frozenset({"eth_signTypedData_v4"})},
        "You declined in your wallet. Nothing was done",
    ),
    "locked": ({"locked": True}, "Your wallet is locked, or shows this site no account"),
    "node down": ({"rpc": "down"}, "Your wallet cannot reach its network"),
    "another network": (
        {"chain_id": 1, "knows": {1}, "refuses": frozenset({"wallet_addEthereumChain"})},
        "You declined in your wallet",
    ),
    "stays elsewhere": (
        {"chain_id": 1, "refuses": frozenset({"wallet_switchEthereumChain"})},
        "Your wallet is on another network. Switch it to Testland (chain 31337)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_told_and_can_be_mended(bay: Bay, tabs: Tabs, fault: str) -> None:
    mood, words = FAULTS[fault]
    wallet, injected = visitor(bay, f"fault {fault}")
    page = tabs.open(injected)
    enter(bay, page)
    healthy = {name: getattr(injected, name) for name in mood}
    for name, value in mood.items():
        setattr(injected, name, value)
    page.get_by_label("Amount in VIBES").first.fill("5")
    press(page, "Deposit with one signature")
    said(page, words)
    expect(page.locator("#said")).to_be_focused()
    for name, value in healthy.items():
        setattr(injected, name, value)
    press(page, "Deposit with one signature")
    said(page, "5.00 VIBES are deposited")
    assert bay.on_chain(wallet)[1] == 5 * VIBES


def test_a_wallet_that_lacks_the_network_is_offered_it(bay: Bay, tabs: Tabs) -> None:
    _, injected = visitor(bay, "adds")
    page = tabs.open(injected)
    enter(bay, page)
    injected.chain_id, injected.knows = 1, {1}
    press(page, "Connect Test Wallet")
    said(page, "Connected")
    assert injected.chain_id == 31337
    [[added]] = [params for method, params in injected.asked if method == "wallet_addEthereumChain"]
    assert (added["chainName"], added["rpcUrls"]) == ("Testland", [bay.stack.url])


def test_another_account_of_the_wallet_is_told(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "first")
    other, _ = visitor(bay, "second")
    page = tabs.open(injected)
    enter(bay, page)
    injected.choose(page, other.account)
    press(page, "Connect Test Wallet")
    said(page, f"but you are signed in as {wallet.address[:6]}…{wallet.address[-4:]}")


AMOUNTS = {
    "nothing": ("0", "Type an amount in VIBES"),
    "words": ("many", "Type an amount in VIBES"),
    "a comma for a point": ("12,50", "Type an amount in VIBES"),
    "too many digits": ("1.0000001", "Type an amount in VIBES"),
    "too small for a first": ("0.6", "A first deposit is at least 1.00 VIBES"),
    "more than there is": ("100.5", "Your wallet has 100.00 VIBES, not 100.50"),
}


def test_amounts_that_are_none_are_told_before_anything_is_signed(bay: Bay, tabs: Tabs) -> None:
    _, injected = visitor(bay, "amounts")
    page = tabs.open(injected)
    enter(bay, page)
    for typed, words in AMOUNTS.values():
        page.get_by_label("Amount in VIBES").first.fill(typed)
        press(page, "Deposit with one signature")
        said(page, words)
    assert injected.count("eth_signTypedData_v4") == 0


def test_a_wallet_without_coin_is_told_what_it_lacks(bay: Bay, tabs: Tabs) -> None:
    _, injected = visitor(bay, "poor")
    page = tabs.open(injected)
    enter(bay, page)
    page.get_by_label("Amount in VIBES").first.fill("5")
    press(page, "Approve and deposit from the wallet")
    said(page, "too little of the network's own coin to pay for gas")


def test_the_page_is_light_accessible_and_works_on_a_phone(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "checked")
    bay.stack.deposit(wallet, 10 * VIBES)
    bay.account(wallet)
    page = tabs.open(injected)
    enter(bay, page)
    press(page, "Connect Test Wallet")
    said(page, "Connected")
    check_page(page, f"{bay.url}/wallet/money")


def test_without_scripts_the_figures_and_the_limit_are_there(bay: Bay, tabs: Tabs) -> None:
    wallet, injected = visitor(bay, "plain")
    page = tabs.open(injected)
    enter(bay, page)
    bay.stack.deposit(wallet, 10 * VIBES)
    bay.account(wallet)
    bare = tabs.open(java_script_enabled=False)
    bare.context.add_cookies(page.context.cookies())
    bare.goto(f"{bay.url}/wallet/money")
    load_with_account(bare)
    expect(bare.locator(".card").first).to_contain_text("10.00")


def test_where_there_is_no_wallet_a_click_says_so(bay: Bay, tabs: Tabs) -> None:
    _, injected = visitor(bay, "elsewhere")
    page = tabs.open(injected)
    enter(bay, page)
    bare = tabs.open()
    bare.context.add_cookies(page.context.cookies())
    bare.goto(f"{bay.url}/wallet/money")
    said(bare, "No wallet was found in this browser: open this page in one that has a wallet")
    bare.get_by_label("Amount in VIBES").first.fill("5")
    press(bare, "Approve and deposit from the wallet")
    said(bare, "No wallet was found in this browser")
    expect(bare.locator("#deadline")).to_be_hidden()
