"""``vibes up``: the demo's stack, kept running, with an account that can pay.

Ctrl-C stops everything. With ``--json`` the first line on stdout is one JSON object with all addresses.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from typing import Final

from customers import Customer, make_customer, open_account
from processes import ChildFailed, PortTaken
from progress import Reporter
from stack import Stack, give_ether, running_stack, save_key
from tools import MissingTools
from upstream import OFFERS, NoLiveServer, find_live_server

from mini_llm.wallet.limits import BASE_PER_VIBES

DEPOSIT_BASE = 100 * BASE_PER_VIBES
POCKET_BASE = 500 * BASE_PER_VIBES
"""What the wallet has beside its deposit, to try deposits with, base units."""
CEILING_BASE = DEPOSIT_BASE
DEFAULT_PORT = 8402


def main() -> None:
    """Starts, prints what a client needs, and stays until it is stopped."""
    parser = argparse.ArgumentParser(prog="vibes up", description=__doc__.replace("``", ""))
    port_help = "the router's port [default: %(default)s]; 0 for a free one"
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=port_help)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    live_help = "take answers from an OpenAI-compatible server on this machine, or from the one at URL"
    live_default = os.environ.get("LIVE", "")
    parser.add_argument("--live", metavar="URL", nargs="?", const="1", default=live_default, help=live_help)
    options = parser.parse_args()
    reporter = Reporter()
    try:
        live = find_live_server(options.live) if options.live not in ("", "0") else None
        with running_stack(reporter, live, options.port) as stack:
            with reporter.step("open an account with a deposit and a spending ceiling"):
                customer = make_customer(stack, open_account(stack, DEPOSIT_BASE), CEILING_BASE)
                save_key(stack.folder / "keys" / "wallet.key", customer.wallet.account)
                fill_pocket(stack, customer.wallet.account.address)
            facts = describe(stack, customer)
            print(json.dumps(facts) if options.json else explain(facts), flush=True)
            while True:
                stack.processes.check()
                time.sleep(0.5)
    except (MissingTools, NoLiveServer, PortTaken, ChildFailed) as error:
        sys.exit(f"vibes up: {error}")
    except KeyboardInterrupt:
        sys.exit(0)


def fill_pocket(stack: Stack, address: str) -> None:
    """Gives the wallet tokens and money for gas, so that its owner can deposit, withdraw and leave."""
    stack.contracts.send(stack.keys.owner, stack.contracts.token.functions.transfer(address, POCKET_BASE))
    give_ether(stack.rpc_url, address)


def describe(stack: Stack, customer: Customer) -> dict[str, object]:
    """What runs where, by name."""
    addresses = {name: stack.record[name] for name in ("settlement", "token", "registry")}
    return {
        "base_url": stack.base_url,
        "pages": stack.url,
        "operator_pages": f"{stack.admin_url}/operator",
        "admin_key": stack.admin_key,
        "api_key": customer.api_key,
        "models": [offer.model for offer in OFFERS],
        "account": customer.wallet.idx,
        "wallet": customer.wallet.account.address,
        "wallet_key_file": str(stack.folder / "keys" / "wallet.key"),
        "balance_base": str(DEPOSIT_BASE),
        "rpc_url": stack.rpc_url,
        "chain_id": stack.record["chain_id"],
        **addresses,
        "environment": str(stack.folder / "env.sh"),
    }


NAMES: Final = {
    "base_url": "base URL",
    "api_key": "API key",
    "pages": "pages",
    "wallet": "wallet",
    "wallet_key_file": "its key",
    "operator_pages": "operator's pages",
    "admin_key": "operator's key",
    "rpc_url": "chain (RPC)",
    "settlement": "Settlement",
    "token": "VibesToken",
    "registry": "PartnerRegistry",
}
"""What is listed, and under which name."""


def explain(facts: dict[str, object]) -> str:
    """The same as text, and how to point a client at it."""
    listing = "\n".join(f"  {title:<16} {facts[name]}" for name, title in NAMES.items())
    question = [{"role": "user", "content": "What is a ceiling?"}]
    return f"""
{listing}

The key pays from account {facts["account"]}, which has {DEPOSIT_BASE // BASE_PER_VIBES} VIBES.
The wallet has {POCKET_BASE // BASE_PER_VIBES} more to deposit, and ether for gas.

  from openai import OpenAI
  client = OpenAI(base_url="{facts["base_url"]}", api_key="{facts["api_key"]}")
  print(client.chat.completions.create(model="pithy-1", messages={question}).choices[0].message.content)

For vibes and vibes-router in another terminal:  . {shlex.quote(str(facts["environment"]))}
Ctrl-C stops everything."""


if __name__ == "__main__":
    main()
