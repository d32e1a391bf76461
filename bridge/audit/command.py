"""`vibes audit`: checks every batch, payout and receipt from a node and a receipts export alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from eth_utils.address import is_address
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import TaskID

from bridge.audit.chain import CannotAudit, Chain, Log, Progress
from bridge.audit.checks import Mismatch, Place, Tally
from bridge.audit.receipts import ReceiptAudit
from bridge.audit.replay import replay_events
from bridge.audit.report import Outcome, as_json, as_text
from bridge.audit.views import check_tokens, check_views
from mini_llm.wallet.receipt import ReceiptDomain


def audit(chain: Chain, logs: list[Log], receipts: Path, progress: Progress) -> Outcome:
    """Checks everything and stops at the first mismatch, which the outcome keeps.

    Args:
        chain: the node and contract.
        logs: all its events, of `Chain.logs`.
        receipts: export of `vibes-router receipts export`, one signed receipt a line.
        progress: told how far it is.

    Raises:
        CannotAudit: the node stopped answering.
    """
    outcome = Outcome(chain.facts, chain.head, Tally())
    tally = outcome.tally
    try:
        replay = replay_events(chain, logs, tally, progress)
        outcome.replay, outcome.held_base = replay, chain.balance()
        check_views(chain, replay, tally, progress)
        places = {log.tx_hash: Place(log.block) for log in logs}
        places |= {batch.tx_hash: batch.place for batch in replay.batches}
        replay.money.check_flow(places)
        check_tokens(chain, replay, tally)
        domain = ReceiptDomain(chain.facts.chain_id, chain.facts.settlement)
        outcome.receipts = ReceiptAudit(receipts, domain, replay.signers, replay.batches, tally).run(progress)
    except Mismatch as found:
        outcome.mismatch = found
    return outcome


@click.command("audit")
@click.option("--rpc", required=True, metavar="URL", help="HTTP URL of a node that you trust.")
@click.option("--settlement", required=True, metavar="ADDRESS", help="The settlement contract.")
@click.option(
    "--receipts", required=True, metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Receipts export, one JSON object a line.",
)  # fmt: skip
@click.option("--partner", metavar="NAME", help="Report only this partner, batch by batch (all is checked).")
@click.option("--from-block", default=0, show_default=True, type=click.IntRange(min=0),
              help="Where to start reading: not after the contracts were deployed.")  # fmt: skip
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def audit_command(
    rpc: str, settlement: str, receipts: Path, partner: str | None, from_block: int, as_object: bool
) -> None:
    """Check every batch, payout and receipt from a node and a receipts export alone.

    Exits 0 only if everything holds, 1 at the first mismatch, which it names, and 2 if the audit could not be
    made.
    """
    if not is_address(settlement):
        raise click.BadParameter(f"{settlement!r} is no address", param_hint="--settlement")
    try:
        with _progress() as progress:
            chain = Chain(rpc, settlement)
            logs = chain.logs(from_block, progress)
            _require_partner(partner, logs)
            outcome = audit(chain, logs, receipts, progress)
    except CannotAudit as error:
        click.echo(f"audit: could not be made: {error}", err=True)
        sys.exit(2)
    click.echo(json.dumps(as_json(outcome, partner), indent=2) if as_object else as_text(outcome, partner))
    sys.exit(0 if outcome.ok else 1)


def _require_partner(name: str | None, logs: list[Log]) -> None:
    names = [log.args["name"] for log in logs if log.name == "PartnerAdded"]
    if name is not None and name not in names:
        raise click.BadParameter(
            f"no partner {name!r}; there are: {', '.join(names)}", param_hint="--partner"
        )


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars on stderr if that is a terminal, else nothing."""
    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield advance
