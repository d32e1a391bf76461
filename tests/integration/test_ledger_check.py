"""`vibes ledger check` on a real chain: it holds through a whole history, and names what somebody changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
from click.testing import CliRunner
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES

from bridge.cli import main
from bridge.reconcile import reconcile
from bridge.state import ChainState
from bridge.store import Store, rebuild_state


def check(operator: Operator, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["ledger", "check", *options], env=operator.environment)
    return result.exit_code, result.output


@contextmanager
def tampered(operator: Operator, change: str, back: str) -> Iterator[None]:
    """The ledger with a row changed behind the router's back: the triggers are off meanwhile."""
    with sqlite3.connect(operator.folder / "ledger.db") as connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(change)
        connection.commit()
        yield
        connection.execute(back)
        for _, statement in guards:
            connection.execute(statement)


def test_a_bridge_that_reads_on_meanwhile_makes_no_difference(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(alice, 5 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        deposits = iter([3 * VIBES, 2 * VIBES])

        def meanwhile(store: Store, domain: int) -> ChainState:
            state = rebuild_state(store, domain)
            for amount_base in islice(deposits, 1):
                operator.stack.deposit(alice, amount_base)
                pipeline.sync()
            return state

        monkeypatch.setattr("bridge.reconcile.rebuild_state", meanwhile)
        found = reconcile(operator.settings)
    assert (found.differences, found.held_base) == ((), 10 * VIBES)


def test_ledger_is_the_chain_and_what_is_not_settled(operator: Operator) -> None:
    stack = operator.stack
    alice = stack.wallet("alice", 10 * VIBES)
    stack.deposit(alice, 10 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
        assert reconcile(operator.settings).differences == ()
        operator.sign_ceiling(alice, 4 * VIBES)
        operator.charge(alice, 1_234_567, partner_id=1)
        assert reconcile(operator.settings).unsettled_base == 1_234_567
        pipeline.settle_once()
        operator.charge(alice, 77, partner_id=2)
        stack.request_withdrawal(alice, 3 * VIBES)
        pipeline.settle_once()
        stack.send(stack.relayer, stack.settlement.functions.withdraw(alice.idx))
        operator.charge(alice, 5, partner_id=1)
        pipeline.sync()
    code, output = check(operator, "--json")
    found = json.loads(output)
    assert (code, found["ok"], found["differences"], found["unsettled_base"]) == (0, True, [], 5)
    assert check(operator)[1].endswith("5 unsettled: ledger = chain + unsettled\n")

    for change, back, said in (
        (
            "UPDATE account SET balance_base = balance_base + 3 WHERE idx = 1",
            "UPDATE account SET balance_base = balance_base - 3 WHERE idx = 1",
            "account 1: balance less deficit is",
        ),
        (
            "UPDATE account SET withdraw_requested_base = 9 WHERE idx = 1",
            "UPDATE account SET withdraw_requested_base = 0 WHERE idx = 1",
            "account 1: requested withdrawal is 9 in the ledger, on chain is 0: +9",
        ),
        (
            "UPDATE posting SET amount_base = amount_base - 50 WHERE account = 'custody' AND entry_number ="
            " (SELECT min(entry_number) FROM posting WHERE account = 'custody')",
            "UPDATE posting SET amount_base = amount_base + 50 WHERE account = 'custody' AND entry_number ="
            " (SELECT min(entry_number) FROM posting WHERE account = 'custody')",
            "custody is",
        ),
        (
            "UPDATE share SET gross_base = gross_base + 1 WHERE code = 'partner:2'",
            "UPDATE share SET gross_base = gross_base - 1 WHERE code = 'partner:2'",
            "partner:2: gross is 78 in the ledger, on chain + unsettled is 77: +1",
        ),
    ):
        with tampered(operator, change, back):
            code, output = check(operator)
        assert code == 1, change
        assert said in output
    assert check(operator)[0] == 0


def test_what_the_ledger_was_not_told_yet_is_said(operator: Operator) -> None:
    with operator.pipeline() as pipeline:
        pipeline.sync()
    code, output = check(operator)
    assert (code, "ledger = chain + unsettled" in output) == (0, True)
    code, output = (
        CliRunner()
        .invoke(main, ["ledger", "check"], env=operator.environment | {"VIBES_RPC_URL": "http://127.0.0.1:1"})
        .exit_code,
        "",
    )
    assert code == 3
