"""The browser tests' own tools: that they see what is wrong with a page, and that the wallet is one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from playwright.sync_api import Browser, Page, Route
from support.anvil import Anvil
from support.injected import InjectedWallet
from support.page_checks import check_page
from support.stack import VIBES, Stack, labelled_account
from support.tabs import Tabs

URL = "http://site.test/page"
REQUEST = """async ([method, params]) => {
  try {
    return { result: await ethereum.request({ method, params }) };
  } catch ({ code, message }) {
    return { code, message };
  }
}"""


def serve(page: Page, body: str = "", head: str = "") -> None:
    """Every address of the page's network answers with this."""
    meta = '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
    html = f"""<!doctype html><html lang="en"><head><title>A page</title>{meta}{head}</head>
      <body><main><h1>A page</h1>{body}</main></body></html>"""
    csp = {"content-security-policy": "default-src 'self' 'unsafe-inline' data:"}

    def answer(route: Route) -> None:
        route.fulfill(body=html, content_type="text/html", headers=csp)

    page.route("**/*", answer)


def test_a_good_page_passes(page: Page) -> None:
    serve(page, "<p>Text</p><a href='/a'>A link</a> <label>Name <input></label> <button>Go</button>")
    check_page(page, URL)


@pytest.mark.parametrize(
    ("fault", "body", "head"),
    [
        pytest.param("bytes", "<p>" + "x " * 75_000 + "</p>", "", id="heavy"),
        pytest.param("wider than a phone", "<p style='width: 500px'>Text</p>", "", id="wide"),
        pytest.param("label", "<input>", "", id="nameless"),
        pytest.param("color-contrast", "<p style='color: #bbb; background: #fff'>Text</p>", "", id="pale"),
        pytest.param(
            "dark: ", "<p>Text</p>",
            "<style>@media (prefers-color-scheme: dark) { body { background: #fff; color: #eee } }</style>",
            id="pale-in-the-dark",
        ),
        pytest.param("shows no focus", "<a href='/a' style='outline: none'>A link</a>", "", id="no-focus"),
        pytest.param(
            "not reached", "<button onfocus='this.blur()'>Go</button><a href='/a'>A</a>", "", id="no-reach"
        ),
    ],
)  # fmt: skip
def test_a_fault_is_named(page: Page, fault: str, body: str, head: str) -> None:
    serve(page, body, head)
    with pytest.raises(AssertionError, match=fault):
        check_page(page, URL)


@pytest.mark.parametrize(
    ("problem", "body"),
    [
        pytest.param("said", "<script>console.error('said')</script>", id="console"),
        pytest.param("thrown", "<script>setTimeout(() => { throw Error('thrown') })</script>", id="thrown"),
        pytest.param("Content Security Policy", "<img alt='' src='http://other.test/'>", id="policy"),
        pytest.param("ERR_FAILED", "<img alt='' src='/broken'>", id="request"),
    ],
)  # fmt: skip
def test_a_problem_fails_the_test_unless_announced(browser: Browser, problem: str, body: str) -> None:
    for announced in (False, True):
        tabs = Tabs(browser)
        page = tabs.open()
        serve(page, body)
        page.route("**/broken", lambda route: route.abort())
        page.goto(URL)
        page.wait_for_timeout(100)
        if announced:
            tabs.announce(problem)
            tabs.close()
        else:
            with pytest.raises(AssertionError, match=problem):
                tabs.close()


def test_an_announced_problem_must_come(browser: Browser) -> None:
    tabs = Tabs(browser)
    tabs.announce("404")
    with pytest.raises(AssertionError, match="404"):
        tabs.close()


def ask(page: Page, method: str, *params: Any) -> Any:
    return page.evaluate(REQUEST, [method, list(params)])


def with_wallet(page: Page, wallet: InjectedWallet) -> None:
    serve(page)
    wallet.injected = True
    wallet.attach(page)
    page.goto(URL)


def test_the_wallet_shows_and_signs_what_its_owner_allows(page: Page) -> None:
    wallet = InjectedWallet(Account.create())
    with_wallet(page, wallet)
    assert ask(page, "eth_accounts") == {"result": []}
    assert ask(page, "personal_sign", "0x6869", wallet.address)["code"] == 4100
    assert ask(page, "eth_requestAccounts") == {"result": [wallet.address]}
    signature = ask(page, "personal_sign", "0x6869", wallet.address)["result"]
    assert Account.recover_message(encode_defunct(b"hi"), signature=signature) == wallet.address

    wallet.refuses = frozenset({"personal_sign"})
    assert ask(page, "personal_sign", "0x6869", wallet.address)["code"] == 4001
    page.evaluate("ethereum.on('accountsChanged', (accounts) => { window.seen = accounts; })")
    other = Account.create()
    wallet.choose(page, other)
    assert page.evaluate("window.seen") == [other.address]
    assert ask(page, "eth_accounts") == {"result": [other.address]}
    wallet.lock(page)
    assert page.evaluate("window.seen") == []
    assert ask(page, "eth_accounts") == {"result": []}
    assert ask(page, "eth_requestAccounts")["code"] == 4100


def test_the_wallet_changes_networks(page: Page) -> None:
    wallet = InjectedWallet(Account.create(), chain_id=1, knows={1})
    with_wallet(page, wallet)
    page.evaluate("ethereum.on('chainChanged', (chain) => { window.seen = chain; })")
    assert ask(page, "wallet_switchEthereumChain", {"chainId": "0x7a69"})["code"] == 4902
    assert ask(page, "wallet_addEthereumChain", {"chainId": "0x7a69"}) == {"result": None}
    assert (ask(page, "eth_chainId")["result"], page.evaluate("window.seen")) == ("0x7a69", "0x7a69")


def test_the_wallet_signs_typed_data_and_sends_to_its_node(page: Page, stack: Stack) -> None:
    wallet = InjectedWallet(stack.funded("alice"), stack.anvil)
    stack.send(stack.owner, stack.token.functions.mint(wallet.address, 5 * VIBES))
    with_wallet(page, wallet)
    ask(page, "eth_requestAccounts")
    typed = {
        "domain": {"name": "VIBES", "chainId": stack.chain_id},
        "primaryType": "Sum",
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
            "Sum": [{"name": "amount", "type": "uint256"}],
        },
        "message": {"amount": str(2**200)},
    }
    signature = ask(page, "eth_signTypedData_v4", wallet.address, json.dumps(typed))["result"]
    signable = encode_typed_data(full_message=typed | {"message": {"amount": 2**200}})
    assert Account.recover_message(signable, signature=signature) == wallet.address

    friend = labelled_account("friend").address
    data = stack.token.encode_abi("transfer", [friend, 2 * VIBES])
    call = {"from": wallet.address, "to": stack.token.address, "data": data}
    assert len(ask(page, "eth_sendTransaction", call)["result"]) == 66
    assert stack.token.functions.balanceOf(friend).call() == 2 * VIBES
    too_much = stack.token.encode_abi("transfer", [friend, 9 * VIBES])
    assert ask(page, "eth_sendTransaction", call | {"data": too_much})["code"] == 3  # it would revert
    wallet.rpc = "down"
    assert ask(page, "eth_call", {"to": stack.token.address, "data": data}, "latest")["code"] == 4900


def test_a_chain_that_has_gone_is_told(page: Page, anvil: Anvil) -> None:
    wallet = InjectedWallet(Account.create(), anvil)
    with_wallet(page, wallet)
    assert "result" in ask(page, "eth_blockNumber")
    anvil.process.terminate()
    anvil.process.wait(10)
    gone = ask(page, "eth_blockNumber")
    assert gone["code"] == 4900, gone
