"""`vibes audit`: checks every batch, payout and receipt from a node and a receipts export alone."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

import click
from eth_utils.address import is_address

from bridge.audit.chain import CannotAudit, Chain, Log
from bridge.audit.checks import Mismatch, Place, Tally
from bridge.audit.receipts import ReceiptAudit
from bridge.audit.replay import replay_events
from bridge.audit.report import Outcome, as_json, as_text
from bridge.audit.views import check_tokens, check_views
from bridge.progress import Progress, progress_bars
from mini_llm.wallet.receipt import ReceiptDomain


def audit(chain: Chain, logs: list[Log], receipts: Path, processes: int, progress: Progress) -> Outcome:
    """Checks everything and stops at the first mismatch, which the outcome keeps.

    Args:
        chain: the node and contract.
        logs: all its events, of `Chain.logs`.
        receipts: export of `vibes-router receipts export`, one signed receipt a line.
        processes: how many check the receipts' signatures.
        progress: told how far it is.

    Raises:
        CannotAudit: the node stopped answering, or the export cannot be read.
    """
    outcome = Outcome(chain.facts, chain.head, Tally())
    tally = outcome.tally
    try:
        replay = replay_events(chain, logs, tally, progress)
        outcome.replay, outcome.held_base, outcome.delay_s = replay, chain.balance(), chain.delay_s()
        check_views(chain, replay, tally, progress)
        places = {log.tx_hash: Place(log.block) for log in logs}
        places |= {batch.tx_hash: batch.place for batch in replay.batches}
        replay.money.check_flow(places)
        check_tokens(chain, replay, tally)
        domain = ReceiptDomain(chain.facts.chain_id, chain.facts.settlement)
        export = ReceiptAudit(receipts, domain, replay.signers, replay.batches, tally, processes)
        outcome.receipts = export.run(progress)
    except Mismatch as found:
        outcome.mismatch = found
    except (OSError, sqlite3.Error) as error:
        raise CannotAudit(f"reading {receipts}: {error}") from error
    return outcome


@click.command("audit")
@click.option("--rpc", required=True, metavar="URL", help="HTTP URL of a node that you trust.")
@click.option("--settlement", required=True, metavar="ADDRESS", help="The settlement contract.")
@click.option(
    "--receipts", required=True, metavar="FILE", type=click.Path(path_type=Path),
    help="Receipts export, one JSON object a line.",
)  # fmt: skip
@click.option("--partner", metavar="NAME", help="Report only this partner, batch by batch (all is checked).")
@click.option("--from-block", default=0, show_default=True, type=click.IntRange(min=0),
              help="Where to start reading: not after the contracts were deployed.")  # fmt: skip
@click.option("--processes", default=os.cpu_count() or 1, show_default="all processors",
              type=click.IntRange(min=1), help="How many check the receipts' signatures.")  # fmt: skip
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def audit_command(
    rpc: str,
    settlement: str,
    receipts: Path,
    partner: str | None,
    from_block: int,
    processes: int,
    as_object: bool,
) -> None:
    """Check every batch, payout and receipt from a node and a receipts export alone.

    Exits 0 only if everything holds, 1 at the first mismatch, which it names, and 2 if the audit could not be
    made. With --json all three print one object; "ok" is true, false or null.
    """
    try:
        if not is_address(settlement):
            raise CannotAudit(f"{settlement!r} is no address")
        if not receipts.is_file():
            raise CannotAudit(f"there is no file {receipts}")
        with progress_bars() as progress:
            chain = Chain(rpc, settlement)
            logs = chain.logs(from_block, progress)
            _require_partner(partner, logs)
            outcome = audit(chain, logs, receipts, processes, progress)
    except CannotAudit as error:
        if as_object:
            click.echo(json.dumps({"ok": None, "error": str(error)}, indent=2))
        click.echo(f"audit: could not be made: {error}", err=True)
        sys.exit(2)
    click.echo(json.dumps(as_json(outcome, partner), indent=2) if as_object else as_text(outcome, partner))
    sys.exit(0 if outcome.ok else 1)


def _require_partner(name: str | None, logs: list[Log]) -> None:
    names = [log.args["name"] for log in logs if log.name == "PartnerAdded"]
    if name is not None and name not in names:
        raise CannotAudit(f"no partner {name!r}; there are: {', '.join(names)}")
