"""`vibes-router x402`: the register of payments, and what the operator owes of it."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from mini_llm.cli.lazy import Group
from router.commands.ledger import read_ledger, write_ledger
from router.ledger import payments
from router.ledger.payment_table import PaymentState
from router.ledger.payments import PaymentView

MAX_NOTE: Final = 200


@click.group(cls=Group)
def x402() -> None:
    """List and refund payments for calls without an API key."""


@x402.command("list")
@click.option("--unused", is_flag=True, help="Only settled ones that bought nothing: retried, or refunded.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one payment a line.")
def list_payments(unused: bool, as_json: bool) -> None:
    """List payments, oldest first.

    \b
    Example: vibes-router x402 list --unused --json
    """
    found = read_ledger(lambda connection: payments.payments(connection, unused))
    for payment, used in found:
        click.echo(json.dumps(_fields(payment, used)) if as_json else _line(payment, used))
    if not found:
        click.echo("no payments", err=True)


@x402.command("refund")
@click.argument("payment_id")
@click.option("--note", required=True, help="How it was paid back, such as the hash of your transfer.")
def refund(payment_id: str, note: str) -> None:
    """Record that you paid PAYMENT_ID back from your own wallet; it buys nothing any more.

    \b
    Record it first, then send: a payment whose call runs, or was answered, is refused here.
    Example: vibes-router x402 refund 3f… --note "sent back by hand"
    """
    done = write_ledger(lambda connection: payments.mark_refunded(connection, payment_id, note[:MAX_NOTE]))
    click.echo(f"{done.id} refunded: send {done.amount_base} base units to {done.payer}")


def _state(payment: PaymentView, used: bool) -> str:
    return "used" if used and payment.state == PaymentState.SETTLED else payment.state


def _fields(payment: PaymentView, used: bool) -> dict[str, Any]:
    return {
        "id": payment.id,
        "state": _state(payment, used),
        "payer": payment.payer,
        "amount_base": str(payment.amount_base),
        "endpoint": payment.endpoint,
        "transaction": payment.tx_hash,
        "claimed_s": payment.claimed_s,
        "settled_s": payment.settled_s,
        "note": payment.note,
    }


def _line(payment: PaymentView, used: bool) -> str:
    state, amount_base = _state(payment, used), payment.amount_base
    return f"{payment.id}  {state:<8} {payment.payer}  {amount_base:>12}  {payment.endpoint}"
