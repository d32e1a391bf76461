"""The operator's command line: `vibes-router`."""

from __future__ import annotations

import sys
from typing import Final

import click

from mini_llm.cli.lazy import LazyGroup, Sections

SECTIONS: Final[Sections] = {
    "Serve": {
        "serve": ("router.commands.serve:serve", "Serve the gateway until it is stopped."),
        "config": (
            "router.commands.config:config",
            "Check the configuration file, or print its JSON Schema.",
        ),
        "db": ("router.commands.db:db", "Move the ledger database between releases, and back it up."),
        "dev-account": (
            "router.commands.development:dev_account",
            "Open an account with play money, and print an API key for it.",
        ),
    },
    "Accounts and keys": {
        "keys": ("router.commands.keys:keys", "Make, list, change and end API keys."),
        "promo": ("router.commands.money:promo", "Give accounts promotional credit, and show it."),
        "vault": (
            "router.commands.vault:vault",
            "Make and change the master key that seals users' own keys.",
        ),
        "credit": (
            "router.commands.credit:credit",
            "Open and top up accounts of a router without a chain.",
        ),
        "erase": (
            "router.commands.erase:erase",
            "Erase what is kept about the owner of an account.",
        ),
        "admin-key": ("router.commands.operators:admin_key", "Make an operator's key for the admin API."),
    },
    "Money": {
        "costs": ("router.commands.money:costs", "Show what calls brought and cost, by provider and model."),
        "ledger": ("router.commands.money:ledger", "Check that the books balance."),
        "receipts": ("router.commands.receipts:receipts", "Export the signed receipts of charged calls."),
        "rewards": (
            "router.commands.rewards:rewards",
            "Show the reward pool, close its epochs, record refunds.",
        ),
        "x402": ("router.commands.x402:x402", "List calls paid one by one, and record refunds."),
    },
    "Automatic choice of a model": {
        "learning": (
            "router.commands.learning:learning",
            "Show and steer what is learned of models from outcomes.",
        ),
        "conductor": ("router.commands.conductor:conductor", "Show and undo decisions of the control loop."),
        "quality": ("router.commands.quality:quality", "Score calls, 0 to 100."),
    },
}
"""Every command: where it is, and what it does. Who runs one need not wait for the others."""


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vibes-rails")
def main() -> None:
    """Serve an OpenAI-compatible gateway that charges each call to a ledger in VIBES.

    \b
    Set up and serve:
      export VIBES_CONFIG=router.json VIBES_LEDGER_URL=sqlite:///ledger.db
      export VIBES_CHAIN_ID=31337 VIBES_SETTLEMENT=0x… VIBES_RECEIPT_KEY_FILE=receipt.key
      vibes-router serve

    \b
    Try it without contracts, with play money:
      vibes-router dev-account

    \b
    Give account 1 an API key and call with it:
      vibes-router keys create --account 1 --label laptop
      curl http://127.0.0.1:8402/v1/chat/completions -H "Authorization: Bearer sk-vibes-…" \\
        -H "Content-Type: application/json" \\
        -d '{"model": "pithy-1", "messages": [{"role": "user", "content": "Hello"}]}'

    \b
    Hand the receipts to an auditor:
      vibes-router receipts export -o receipts.jsonl
    """


if __name__ == "__main__":
    sys.exit(main())
