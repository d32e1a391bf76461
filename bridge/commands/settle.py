"""`vibes settle`."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from bridge.commands.ending import ENVIRONMENT, exit_codes, settings_of_environment
from bridge.errors import SettlementPaused
from bridge.pipeline import Pipeline
from bridge.tables import Batch
from bridge.watch import check_health, last_word, watch


@click.command(epilog=ENVIRONMENT)
@click.option("--once", is_flag=True, help="Settle one batch, if there is anything to settle.")
@click.option("--watch", "keep_on", is_flag=True, help="Keep settling until stopped.")
@click.option(
    "--interval", type=click.IntRange(1), default=30, show_default=True, help="Seconds between checks."
)
@click.option("--json", "as_json", is_flag=True, help="Print the settled batch as JSON (with --once).")
@exit_codes
def settle(once: bool, keep_on: bool, interval: int, as_json: bool) -> None:
    """Net the ledger into a batch, prove it and settle it on chain.

    Every step is stored. If a run is killed, the next one continues where it stopped, and no batch is
    settled twice. Progress goes to stderr, the result to stdout.

    \b
    Examples:
      vibes settle --once
      vibes settle --once --json | jq .gas_used
      vibes settle --watch --interval 60
    """
    if once == keep_on:
        raise click.UsageError("say --once or --watch" + (", not both" if once else ""))
    with Pipeline(settings_of_environment(), _progress, _alert, wait_to_lead=keep_on) as pipeline:
        if keep_on:
            watch(pipeline, interval, _progress)
        else:
            try:
                with last_word(pipeline, _progress):
                    _print_batch(pipeline.settle_once(), as_json)
                    check_health(pipeline, {})
            except SettlementPaused as error:
                if as_json:
                    click.echo(json.dumps({"paused": vars(error)}))
                raise


def _progress(line: str) -> None:
    click.echo(line, err=True)


def _alert(event: Mapping[str, object]) -> None:
    click.echo(json.dumps(event), err=True)


def _print_batch(batch: Batch | None, as_json: bool) -> None:
    """The settled batch for people or, with all its figures, for programs (null if there was none)."""
    if as_json:
        fields = None if batch is None else _batch_fields(batch)
        click.echo(json.dumps(fields))
    elif batch is None:
        click.echo("nothing to settle")
    else:
        click.echo(
            f"batch {batch.number} settled: {batch.accounts} accounts, "
            f"{batch.header.receipts_total} base units, {batch.gas_used} gas, {batch.tx_hash}"
        )


def _batch_fields(batch: Batch) -> dict[str, object]:
    return {
        "number": batch.number,
        "slots": batch.size,
        "accounts": batch.accounts,
        "gross_base": batch.header.receipts_total,
        "receipts_root": batch.header.receipts_root,
        "tx_hash": batch.tx_hash,
        "block_number": batch.block_number,
        "gas_used": batch.gas_used,
        "witness_ms": batch.witness_ms,
        "prove_ms": batch.prove_ms,
    }
