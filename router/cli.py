"""The operator's command line: `vibes-router`."""

from __future__ import annotations

import sys
from typing import Final

import click

from mini_llm.cli.lazy import LazyGroup

ELSEWHERE: Final = {
    "admin-key": "router.commands.operators:admin_key",
    "conductor": "router.commands.conductor:conductor",
    "config": "router.commands.config:config",
    "costs": "router.commands.money:costs",
    "db": "router.commands.db:db",
    "dev-account": "router.commands.development:dev_account",
    "keys": "router.commands.keys:keys",
    "learning": "router.commands.learning:learning",
    "ledger": "router.commands.money:ledger",
    "promo": "router.commands.money:promo",
    "quality": "router.commands.quality:quality",
    "receipts": "router.commands.receipts:receipts",
    "rewards": "router.commands.rewards:rewards",
    "serve": "router.commands.serve:serve",
    "vault": "router.commands.vault:vault",
    "x402": "router.commands.x402:x402",
}
"""Where commands are: who runs one need not carry the others, and `serve` hears signals at once."""


@click.group(cls=LazyGroup, elsewhere=ELSEWHERE, context_settings={"help_option_names": ["-h", "--help"]})
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
