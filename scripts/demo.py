"""The whole system in two minutes: paid calls, proved batches, a withdrawal, payouts, an audit.

Run ``make demo``, or ``python scripts/demo.py`` after ``make setup``. LIVE=1 takes the answers from an
OpenAI-compatible server on this machine, LIVE=http://127.0.0.1:PORT/v1 from the one named. The exit code is 0
only if every step did what it should, the audit included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ask import Answer, Question, ask_all
from customers import Customer, make_customer, open_account
from processes import ChildFailed
from progress import Reporter, results_console
from report import Run, print_report
from stack import GAS_WEI, Stack, running_stack
from tools import MissingTools
from upstream import LIVE_MAX_TOKENS, OFFERS, LiveServer, NoLiveServer, find_live_server
from wallet_flow import WrongReceipt

from bridge.store import open_store
from mini_llm.wallet.limits import BASE_PER_VIBES

QUESTIONS = Path(__file__).with_name("questions.json")
DEPOSIT_BASE = 60 * BASE_PER_VIBES
CEILING_STEP_BASE = 25 * BASE_PER_VIBES
"""Wallets allow spending in steps, and take the next one after they have checked their receipts."""
WITHDRAWAL_BASE = 10 * BASE_PER_VIBES
SETTLE_S = 300
"""A proof takes a few seconds on a free core; this is for a machine that has none."""


class DemoFailed(Exception):
    """Something did not come out as it must."""


def main() -> None:
    """Runs the demo and prints its table."""
    argparse.ArgumentParser(
        description="A deposit, paid calls, proved batches, payouts and an audit on a chain of this machine.",
        epilog="LIVE=1 takes answers from an OpenAI-compatible server of this machine, LIVE=URL from others.",
    ).parse_args()
    reporter = Reporter()
    try:
        wanted = os.environ.get("LIVE", "")
        live = find_live_server(wanted) if wanted not in ("", "0") else None
        if live:
            reporter.say(f"answers come from {live.model} at {live.base_url} ({live.name})")
        with running_stack(reporter, live) as stack:
            run = play(stack, reporter, live)
            print_report(results_console(), stack, run)
    except (MissingTools, NoLiveServer, ChildFailed, DemoFailed, WrongReceipt) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: stopped")


def play(stack: Stack, reporter: Reporter, live: LiveServer | None) -> Run:
    """Everything that happens between start and table.

    Raises:
        DemoFailed: an amount or a state is not what it must be.
        ChildFailed: a program of the stack, or the audit, failed.
    """
    with reporter.step("two wallets deposit by permit, without gas, and sign their first ceiling"):
        wallets = [open_account(stack, DEPOSIT_BASE) for _ in range(2)]
        customers = [make_customer(stack, wallet, CEILING_STEP_BASE) for wallet in wallets]
    questions = make_questions(customers, LIVE_MAX_TOKENS if live else None)
    half = len(questions) // 2
    with reporter.step(
        f"ask {half} questions through the openai client, half of them streaming", half
    ) as done:
        answers = asyncio.run(ask_all(questions[:half], done))
    with reporter.step("settle them with a proof"):
        wait_until_settled(stack, answers)
    with reporter.step("check the receipts, raise the ceilings, request a withdrawal"):
        for customer in customers:
            customer.raise_ceiling(customer.check_receipts() + CEILING_STEP_BASE)
        leaver = customers[0].wallet
        stack.contracts.send_ether(stack.keys.relayer, leaver.account.address, GAS_WEI)
        leaver.request_withdrawal(WITHDRAWAL_BASE)
    with reporter.step(f"ask {half} more", half) as done:
        answers += asyncio.run(ask_all(questions[half:], done))
    with reporter.step("settle them and the withdrawal with a proof"):
        wait_until_settled(stack, answers)
        settlement = stack.contracts.settlement.functions
        wait(stack, "the withdrawal to be served", lambda: settlement.account(leaver.idx).call()[3] > 0)
        bridge = open_store(stack.environment["VIBES_BRIDGE_URL"])
        wait(stack, "the bridge to see its last batch confirmed", lambda: bridge.open_batch() is None)
    with reporter.step("pay the withdrawal and the partners, check the last receipts"):
        stack.contracts.send(stack.keys.relayer, settlement.withdraw(leaver.idx))
        require("tokens back in wallet A", WITHDRAWAL_BASE, leaver.balance_base())
        claimed_base = {partner["id"]: claim(stack, partner) for partner in stack.record["partners"]}
        spent_base = sum(customer.check_receipts() for customer in customers)
        require("spending by the wallets' own books", charged_base(answers), spent_base)
    with reporter.step("export the receipts and audit everything from the chain"):
        audited = run_audit(stack)
    return Run(answers, WITHDRAWAL_BASE, claimed_base, audited, reporter.elapsed_s())


def make_questions(customers: Sequence[Customer], max_tokens: int | None) -> list[Question]:
    """The questions about the documentation, spread evenly over models, streaming and wallets."""
    texts: list[str] = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    return [
        Question(customers[number // 4 % 2], OFFERS[number % 2].model, text, number // 2 % 2 == 1, max_tokens)
        for number, text in enumerate(texts)
    ]


def wait_until_settled(stack: Stack, answers: Sequence[Answer]) -> None:
    """Waits until the chain's gross is the sum of the charges.

    Raises:
        DemoFailed: it is more, or does not get there.
    """
    expected_base = charged_base(answers)
    totals = stack.contracts.settlement.functions.totals()
    wait(stack, f"{expected_base} base units to be settled", lambda: totals.call()[0] >= expected_base)
    require("gross of the contract", expected_base, totals.call()[0])


def charged_base(answers: Sequence[Answer]) -> int:
    """What the answers cost together, base units."""
    return sum(answer.receipt.receipt.charge_base for answer in answers)


def wait(stack: Stack, what: str, happened: Callable[[], bool]) -> None:
    """Looks twice a second.

    Raises:
        DemoFailed: it did not happen within ``SETTLE_S`` seconds.
        ChildFailed: a program of the stack ended meanwhile.
    """
    deadline = time.monotonic() + SETTLE_S
    while not happened():
        stack.processes.check()
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {SETTLE_S} s for {what}; see {stack.folder / 'logs' / 'bridge.log'}")
        time.sleep(0.5)


def require(what: str, expected: int, actual: int) -> None:
    """Raises DemoFailed unless the two are equal."""
    if expected != actual:
        raise DemoFailed(f"{what}: expected {expected}, found {actual}")


def claim(stack: Stack, partner: Mapping[str, Any]) -> int:
    """Claims a partner's share and returns what arrived, base units.

    Raises:
        DemoFailed: it is not what the contract said could be claimed.
    """
    settlement = stack.contracts.settlement.functions
    claimable_base = int(settlement.partnerClaimable(partner["id"]).call())
    stack.contracts.send(stack.keys.relayer, settlement.claimPartner(partner["id"]))
    balance_base = int(stack.contracts.token.functions.balanceOf(partner["payout"]).call())
    require(f"payout to {partner['name']}", claimable_base, balance_base)
    return balance_base


def run_audit(stack: Stack) -> int:
    """Exports the receipts and audits chain and export; returns the number of receipts checked."""
    receipts = stack.folder / "receipts.jsonl"
    stack.run("vibes-router", "receipts", "export", "-o", receipts)
    arguments = ("--rpc", stack.rpc_url, "--settlement", stack.record["settlement"], "--receipts", receipts)
    audit = json.loads(stack.run("vibes", "audit", *arguments, "--json"))
    settled: int = audit["receipts"]["settled"]
    require("receipts on the chain", audit["receipts"]["count"], settled)
    return settled


if __name__ == "__main__":
    main()
