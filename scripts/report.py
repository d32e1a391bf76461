"""The table at the end of the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ask import Answer
from rich import box
from rich.console import Console
from rich.table import Table
from stack import ROOT, Stack
from upstream import OFFERS

from bridge.store import open_store
from mini_llm.wallet.money import vibes


@dataclass(frozen=True)
class Run:
    """What the demo did.

    Attributes:
        withdrawn_base: paid to a wallet, base units.
        claimed_base: paid to each partner by id, base units.
        receipts_audited: checked by the audit against the chain.
        elapsed_s: from the start of the chain to the end of the audit.
    """

    answers: Sequence[Answer]
    withdrawn_base: int
    claimed_base: dict[int, int]
    receipts_audited: int
    elapsed_s: float


def amount(amount_base: int) -> str:
    """An amount with its unit."""
    return f"{vibes(amount_base)} VIBES"


def percent(bps: int) -> str:
    """Basis points as percent."""
    return f"{bps // 100}.{bps % 100:02d}".rstrip("0").rstrip(".") + " %"


def print_report(console: Console, stack: Stack, run: Run) -> None:
    """Prints the table and, last, the verdict of the audit."""
    table = Table(box=box.HORIZONTALS, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    _add_calls(table, run.answers)
    _add_split(table, stack, run)
    _add_batches(table, stack)
    table.add_row("withdrawal", amount(run.withdrawn_base), "served by a batch, paid to the wallet")
    table.add_row(
        "receipts audited", str(run.receipts_audited), "against roots, slots and payouts on the chain"
    )
    console.print(table)
    folder = stack.folder.relative_to(ROOT)
    console.print(f"took {run.elapsed_s:.0f} s; logs and receipts are in {folder}", soft_wrap=True)
    console.print("audit: OK", style="bold green")


def _add_calls(table: Table, answers: Sequence[Answer]) -> None:
    receipts = [answer.receipt.receipt for answer in answers]
    streaming = sum(answer.question.stream for answer in answers)
    prompt, completion = (sum(r.prompt_tokens for r in receipts), sum(r.completion_tokens for r in receipts))
    table.add_row("calls", str(len(receipts)), f"{streaming} of them streaming")
    table.add_row("tokens", f"{prompt + completion:,}", f"{prompt:,} prompt, {completion:,} completion")
    for offer in OFFERS:
        mine = [receipt for receipt in receipts if receipt.model == offer.model]
        note = f"{len(mine)} calls at {offer.prompt_usd} / {offer.completion_usd} USD per million tokens"
        table.add_row(f"  {offer.model}", amount(sum(receipt.charge_base for receipt in mine)), note)


def _add_split(table: Table, stack: Stack, run: Run) -> None:
    settlement = stack.contracts.settlement.functions
    totals = settlement.totals().call()
    gross_base, burned_base, _, fee_base, pool_base, treasury_base, *_ = totals
    table.add_row("charged", amount(gross_base), "settled on the chain, 100 VIBES = 1 USD", style="bold")
    table.add_row("  burned", amount(burned_base), percent(settlement.burnBps().call()))
    for number, offer in enumerate(OFFERS, 1):
        gross, _, _, _, bps = settlement.partnerAccount(number).call()
        note = f"{percent(bps)} of {amount(gross)}, claimed"
        table.add_row(f"  {offer.partner}", amount(run.claimed_base[number]), note)
    table.add_row("  protocol fee", amount(fee_base), percent(settlement.feeBps().call()))
    table.add_row("  rewards pool", amount(pool_base), percent(settlement.poolBps().call()))
    table.add_row("  treasury", amount(treasury_base), "the rest")


def _add_batches(table: Table, stack: Stack) -> None:
    for batch in open_store(stack.environment["VIBES_BRIDGE_URL"]).batches():
        gas, proof_ms = batch.gas_used or 0, (batch.prove_ms or 0) + (batch.witness_ms or 0)
        each = f"{gas // batch.accounts:,} for each of {batch.accounts} account updates"
        note = f"{each}, proved in {proof_ms / 1000:.1f} s"
        table.add_row(f"batch {batch.number}", f"{gas:,} gas", note)
