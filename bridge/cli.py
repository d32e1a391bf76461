"""The operator's command line: `vibes settle`, `vibes status`, `vibes audit`, `vibes up`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bridge.audit import audit_command
from bridge.bench import bench_command
from bridge.config import BridgeSettings, read_settings
from bridge.errors import (
    BridgeError,
    NotACheckout,
    NotLeader,
    RpcUnavailable,
    SettlementPaused,
)
from bridge.exit import exit_command
from bridge.health import problems
from bridge.pipeline import Pipeline
from bridge.reconcile import reconcile
from bridge.rollup.errors import InvalidTransition
from bridge.standing import standing
from bridge.status import read_status
from bridge.tables import Batch
from bridge.watch import check_health, last_word, watch
from mini_llm.cli.lazy import LazyGroup
from mini_llm.errors import ConfigError
from router.ledger import LedgerError

ENVIRONMENT = """\b
Environment:
  VIBES_RPC_URL            JSON-RPC endpoint of the settlement chain
  VIBES_SETTLEMENT         address of the Settlement contract
  VIBES_LEDGER_URL         SQLAlchemy URL of the router's ledger
  VIBES_BRIDGE_URL         SQLAlchemy URL of the bridge's own store
  VIBES_OPERATOR_KEY_FILE  file with the operator's hex private key (settle)
  VIBES_CIRCUITS_DIR       proving artefacts (default build/circuits)
  VIBES_CHAIN_ID           refuse any other chain (default: the node's)
  VIBES_CONFIRMATIONS      blocks on top (default 0 on a local chain, else 12)
  VIBES_START_BLOCK        block of the deployment (default 0)
  VIBES_TX_TYPE            legacy, eip1559 or auto (default)
  VIBES_MAX_FEE_GWEI, VIBES_STUCK_S, VIBES_MINING_TIMEOUT_S
                           how transactions are paid, replaced and waited for
  VIBES_PROVER_WORKERS, VIBES_PROVER_SCHEDULER
                           how many prove, and where
  VIBES_MAX_LAG_S, VIBES_MAX_QUEUE_AGE_S, VIBES_MIN_DEADLINE_S,
  VIBES_MAX_BATCH_AGE_S, VIBES_MIN_OPERATOR_GWEI
                           from when on something is wrong (status)
  docs/operations.md has what each means and its default.

\b
Exit codes: 0 done, 1 failed or refused, 2 bad usage or settings,
3 the node does not answer (nothing is lost: run it again),
4 status: something is wrong, 5 settle --once: another process settles,
6 settle --once: the contract is paused."""

ELSEWHERE = {"route": "bridge.route:route"}
"""Commands that settle nothing, and where they are."""

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_UNHEALTHY, EXIT_NOT_LEADER, EXIT_PAUSED = 1, 2, 3, 4, 5, 6


def exit_codes(command: Callable[..., None]) -> Callable[..., None]:
    """Turns the project's own errors into one line on stderr and a documented exit code."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ConfigError as error:
            _fail(error, EXIT_USAGE)
        except RpcUnavailable as error:
            _fail(error, EXIT_UNREACHABLE)
        except NotLeader as error:
            _fail(error, EXIT_NOT_LEADER)
        except SettlementPaused as error:
            _fail(error, EXIT_PAUSED)
        except (BridgeError, InvalidTransition, LedgerError) as error:
            _fail(error, EXIT_FAILED)

    return wrapped


def _fail(error: Exception, code: int) -> None:
    click.echo(f"vibes: {error}", err=True)
    raise SystemExit(code)


@click.group(cls=LazyGroup, elsewhere=ELSEWHERE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vibes-rails")
def main() -> None:
    """Settle VIBES charges on chain with proofs, and audit them."""


main.add_command(audit_command)
main.add_command(exit_command)
main.add_command(bench_command)


@main.command(epilog=ENVIRONMENT)
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
    with Pipeline(_settings(), _progress, _alert, wait_to_lead=keep_on) as pipeline:
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


@main.command(epilog=ENVIRONMENT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@exit_codes
def status(as_json: bool) -> None:
    """Show batches, what waits for settlement and for how long, keys, leader, and what is wrong.

    Exits 4 if anything is wrong: a health rule is broken or an alert of `vibes settle` is open. Creates and
    changes nothing.

    \b
    Examples:
      vibes status
      vibes status --json | jq .unsettled_base
    """
    settings = _settings()
    found = read_status(settings)
    wrong = problems(found, settings.health, settings.operator_address())
    wrong |= {alert.code: alert.detail for alert in found.alerts if alert.code not in wrong}
    if as_json:
        click.echo(json.dumps(found.to_dict() | {"healthy": not wrong, "problems": wrong}))
    else:
        click.echo(standing(found, wrong))
    if wrong:
        raise SystemExit(EXIT_UNHEALTHY)


@main.group()
def ledger() -> None:
    """Check the router's ledger against its history and the chain."""


@ledger.command(epilog=ENVIRONMENT)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@exit_codes
def check(as_json: bool) -> None:
    """Check that the books balance, and that ledger = chain + unsettled.

    Compares the contract's tokens, every account's money and requests, and what partners, fee, burn, pool
    and treasury earned and were paid, at the last block that the bridge read. Names each difference and
    exits 1 if there is one. Changes nothing.

    \b
    Examples:
      vibes ledger check
      vibes ledger check --json | jq .differences
    """
    found = reconcile(_settings())
    if as_json:
        click.echo(json.dumps({"ok": not found.differences, **vars(found)}))
    else:
        for difference in found.differences:
            click.echo(difference)
        click.echo(
            f"block {found.block}: {found.accounts} accounts, {found.held_base} base units held, "
            f"{found.unsettled_base} unsettled: "
            + (f"{len(found.differences)} differences" if found.differences else "ledger = chain + unsettled")
        )
    if found.differences:
        raise SystemExit(EXIT_FAILED)


@main.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@exit_codes
def up(arguments: tuple[str, ...]) -> None:
    """Start chain, contracts, router and bridge on this machine, and keep them running until Ctrl-C.

    Needs a checkout of the project, whose scripts/up.py it runs; ARGUMENTS go to that, as does --help.

    \b
    Example:
      vibes up
    """
    script = _checkout() / "scripts" / "up.py"
    os.chdir(script.parents[1])
    # In this process's place, so that a signal meant for it reaches what has to stop the others.
    os.execv(sys.executable, [sys.executable, str(script), *arguments])  # noqa: S606


def _checkout() -> Path:
    """The checkout around the working directory, or around this package. Raises NotACheckout."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (folder / "scripts" / "up.py").is_file() and (folder / "bridge").is_dir():
            return folder
    raise NotACheckout(str(here))


def _settings() -> BridgeSettings:
    return read_settings(os.environ)


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
