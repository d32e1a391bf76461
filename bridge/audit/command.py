"""`vibes audit`: checks batches and payouts from a node alone, receipts from an export or from bundles."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from pathlib import Path

import click
from eth_utils.address import is_address

from bridge.audit.bundles import check_bundles
from bridge.audit.chain import CannotAudit, Chain, Log
from bridge.audit.checks import OF_BUNDLES, OF_RECEIPTS, Mismatch, Place, Tally
from bridge.audit.receipts import ReceiptAudit
from bridge.audit.replay import replay_events
from bridge.audit.report import Outcome, as_json, as_text
from bridge.audit.views import check_tokens, check_views
from bridge.errors import printable
from bridge.progress import Progress, progress_bars
from mini_llm.wallet.receipt import ReceiptDomain


def audit(
    chain: Chain,
    logs: list[Log],
    receipts: Path | None,
    bundles: tuple[str, int] | None,
    processes: int,
    progress: Progress,
) -> Outcome:
    """Checks everything that can be and stops at the first mismatch, which the outcome keeps.

    Args:
        chain: the node and contract.
        logs: all its events, of `Chain.logs`.
        receipts: export of `vibes-router receipts export`, one signed receipt a line; None if there is none.
        bundles: where a partner's proof bundles are, and its id; None for none.
        processes: how many check the receipts' signatures.
        progress: told how far it is.

    Raises:
        CannotAudit: the node stopped answering, or export or bundles cannot be read.
    """
    without = (OF_RECEIPTS if receipts is None else frozenset()) | (
        {OF_BUNDLES} if bundles is None else set()
    )
    outcome = Outcome(chain.facts, chain.head, Tally(), without)
    tally = outcome.tally
    domain = ReceiptDomain(chain.facts.chain_id, chain.facts.settlement)
    try:
        replay = replay_events(chain, logs, tally, progress)
        outcome.replay, outcome.held_base, outcome.delay_s = replay, chain.balance(), chain.delay_s()
        check_views(chain, replay, tally, progress)
        places = {log.tx_hash: Place(log.block) for log in logs}
        places |= {batch.tx_hash: batch.place for batch in replay.batches}
        replay.money.check_flow(places)
        check_tokens(chain, replay, tally)
        if receipts is not None:
            export = ReceiptAudit(receipts, domain, replay.signers, replay.batches, tally, processes)
            outcome.receipts = export.run(progress)
        if bundles is not None:
            place, partner_id = bundles
            outcome.bundles = check_bundles(place, domain, partner_id, replay.batches, tally, progress)
    except Mismatch as found:
        outcome.mismatch = found
    except (OSError, sqlite3.Error) as error:
        raise CannotAudit(f"reading {receipts}: {error}") from error
    return outcome


@click.command("audit")
@click.option("--rpc", required=True, metavar="URL", help="HTTP URL of a node that you trust.")
@click.option("--settlement", required=True, metavar="ADDRESS", help="The settlement contract.")
@click.option("--receipts", metavar="FILE", type=click.Path(path_type=Path),
              help="Receipts export of the operator, one JSON object a line.")  # fmt: skip
@click.option("--bundles", metavar="URL|FOLDER",
              help="--partner's proof bundles: of a router, or files BATCH.jsonl in a folder.")  # fmt: skip
@click.option(
    "--partner",
    metavar="NAME",
    help="Report only this partner, batch by batch (everything is still checked).",
)
@click.option("--from-block", default=0, show_default=True, type=click.IntRange(min=0),
              help="First block to read, not after the contracts' deployment.")  # fmt: skip
@click.option("--processes", default=os.cpu_count() or 1, show_default="all processors",
              type=click.IntRange(min=1), help="Processes that check the receipts' signatures.")  # fmt: skip
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def audit_command(
    rpc: str,
    settlement: str,
    receipts: Path | None,
    bundles: str | None,
    partner: str | None,
    from_block: int,
    processes: int,
    as_object: bool,
) -> None:
    """Check every batch and payout with a node alone: roots, proofs, burns, rewards, shares, withdrawals.

    What batches charge is checked against receipts: with --receipts against all of them, which only the
    operator has; with --partner and --bundles against one partner's, which anybody can check.

    \b
    vibes audit --rpc URL --settlement ADDRESS
    vibes audit --rpc URL --settlement ADDRESS --partner NAME --bundles https://router.example
    vibes audit --rpc URL --settlement ADDRESS --receipts receipts.jsonl

    Exits 0 if all that was checked holds, 1 at the first mismatch, which it names, and 2 if the audit could
    not be made. With --json all three print one object; "ok" is true, false or null.
    """
    try:
        if not is_address(settlement):
            raise CannotAudit(f"{settlement!r} is no address")
        if receipts is not None and not receipts.is_file():
            raise CannotAudit(f"there is no file {receipts}")
        if bundles is not None and partner is None:
            raise CannotAudit("--bundles needs --partner: bundles are of one partner")
        with progress_bars() as progress:
            chain = Chain(rpc, settlement)
            logs = chain.logs(from_block, progress)
            partner_id = None if partner is None else _id_of(partner, logs)
            of_partner = None if bundles is None or partner_id is None else (bundles, partner_id)
            outcome = audit(chain, logs, receipts, of_partner, processes, progress)
    except CannotAudit as error:
        if as_object:
            click.echo(json.dumps({"ok": None, "error": str(error)}, indent=2))
        click.echo(f"audit: could not be made: {printable(str(error))}", err=True)
        sys.exit(2)
    click.echo(json.dumps(as_json(outcome, partner), indent=2) if as_object else as_text(outcome, partner))
    sys.exit(0 if outcome.ok else 1)


def _id_of(name: str, logs: list[Log]) -> int:
    ids = {log.args["name"]: int(log.args["id"]) for log in logs if log.name == "PartnerAdded"}
    if name not in ids:
        raise CannotAudit(f"no partner {name!r}; there are: {', '.join(ids)}")
    return ids[name]
