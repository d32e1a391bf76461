"""The 402 under public conformance checks, and what a router loads that takes no payments.

x402-conformance asks by GET only, so its checks get our answer to a POST. x402lint needs Python 3.12: it is
run where X402LINT names the command, see docs/gateway/x402.md.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest
from support.anvil import ROOT
from x402.http.utils import decode_payment_required_header, decode_payment_response_header
from x402_inspect import Kind, inspect
from x402_world import PATH, Shop, body_of, marker
from x402conf import harness

LINT = os.environ.get("X402LINT")


def test_the_402_passes_the_checks_of_x402_conformance(shop: Shop) -> None:
    answer = shop.post(body_of("plain", marker()))
    seen = {"status": answer.status_code, "headers": dict(answer.headers), "body": answer.content, "ms": 1}
    checks = harness.check_402(seen)
    assert {check["check"].split()[0] for check in checks} >= {"P1", "P2", "P3", "P4", "P5", "P6"}
    assert [check for check in checks if not check["pass"]] == []


def test_the_headers_are_those_of_the_public_package(shop: Shop) -> None:
    wallet, body = shop.wallet(), body_of("plain", marker(), max_tokens=2)
    asked = decode_payment_required_header(shop.post(body).headers["payment-required"])
    assert (asked.x402_version, asked.accepts[0].pay_to) == (2, shop.pay_to.lower())
    answered = shop.post(body, shop.header(wallet, body)).headers["payment-response"]
    settled = decode_payment_response_header(answered)
    assert settled.success
    assert settled.amount == asked.accepts[0].amount


def test_the_headers_pass_x402_inspect(shop: Shop) -> None:
    wallet, body = shop.wallet(), body_of("plain", marker(), max_tokens=2)
    asked = shop.post(body).headers["payment-required"]
    paid = shop.header(wallet, body)
    answered = shop.post(body, paid).headers["payment-response"]
    kinds = (Kind.PAYMENT_REQUIRED, Kind.PAYMENT_PAYLOAD, Kind.SETTLEMENT_RESPONSE)
    for message, kind in zip((asked, paid, answered), kinds, strict=True):
        report = inspect(message)
        assert (report.kind, report.encoding, report.findings) == (kind, "base64", [])


@pytest.mark.skipif(LINT is None, reason="X402LINT names no command; x402lint needs Python 3.12")
def test_the_402_passes_x402lint(shop: Shop) -> None:
    body = json.dumps(body_of("plain", marker()))
    command = [*shlex.split(LINT or ""), "check", "--json", "--data", body, shop.url + PATH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_s_example_pays_for_a_call(shop: Shop) -> None:
    page = (ROOT / "docs" / "gateway" / "x402.md").read_text()
    example = page.split("```python")[1].split("```")[0].replace("pithy-1", "plain")
    wallet = shop.wallet()
    given = {
        "PAYER_KEY": "0x" + bytes(wallet.key).hex(),
        "VIBES_TOKEN": shop.stack.token.address,
        "ROUTER_URL": shop.url,
    }
    command = [sys.executable, "-c", example]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "the rails carry" in done.stdout
    assert len(shop.transfers(wallet)) == 1


PROBE = """
import asyncio, sys
from types import SimpleNamespace
import router.api.app
from router.relay import relaying
from router.x402 import take_payments
async def main():
    settings = SimpleNamespace(config=SimpleNamespace(relay=None, x402=None))
    async with relaying(None, settings) as settler:
        assert settler is None
        assert take_payments(None, None, settings, settler, None) is None
asyncio.run(main())
unwanted = ("router.x402.till", "router.relay.settler", "eth_account", "web3", "x402")
print([name for name in unwanted if name in sys.modules])
"""


def test_a_router_without_payments_loads_nothing_for_them() -> None:
    loaded = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
