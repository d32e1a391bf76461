"""The command line `vibes`: every command is imported when it is called.

A worker process imports the module that its parent was started from: the prover's workers would else load all
of the bridge to make a proof, which takes a second.
"""

from __future__ import annotations

import sys
from typing import Final

import click

from mini_llm.cli.lazy import LazyGroup, Sections

SECTIONS: Final[Sections] = {
    "Run": {
        "up": (
            "bridge.commands.up:up",
            "Start chain, contracts, router and bridge on this machine, to try them.",
        ),
        "settle": (
            "bridge.commands.settle:settle",
            "Net charges into a batch, prove it and settle it on chain.",
        ),
        "status": (
            "bridge.commands.status:status",
            "Show batches, what waits, keys, leader, and what is wrong.",
        ),
        "ledger": ("bridge.commands.ledger:ledger", "Check the books against themselves and the chain."),
    },
    "From outside, with a node alone": {
        "audit": ("bridge.audit.command:audit_command", "Check every batch and payout."),
        "exit": ("bridge.exit.command:exit_command", "Get an account's money out without the operator."),
    },
    "Automatic choice of a model": {
        "route": ("bridge.route:route", "Show how a model is chosen for a prompt."),
        "bench": ("bridge.bench:bench_command", "Measure the choice on graded answers."),
    },
}
"""Every command: where it is, and what it does."""


@click.group(cls=LazyGroup, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vibes-rails")
def main() -> None:
    """Settle VIBES charges on chain with proofs, and audit them.

    \b
    Try everything on this machine:
      vibes up

    \b
    Settle what the router has charged:
      export VIBES_RPC_URL=http://127.0.0.1:8545 VIBES_SETTLEMENT=0x…
      export VIBES_LEDGER_URL=sqlite:///ledger.db VIBES_BRIDGE_URL=sqlite:///bridge.db
      export VIBES_OPERATOR_KEY_FILE=operator.key
      vibes settle --watch

    \b
    Check all of it from outside:
      vibes audit --rpc http://127.0.0.1:8545 --settlement 0x…
    """


if __name__ == "__main__":
    sys.exit(main())
