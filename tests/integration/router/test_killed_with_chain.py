"""kill -9 of router and bridge between their steps, on a real chain: the books stay chain + unsettled."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner
from people_world import Town
from router_upstream import Upstream
from router_world import User, make_world
from support.killing import finish, kill_at_sealed, kill_before_sending, kill_when_mined, kill_when_sent
from support.operator import Operator
from support.proofs import remembered_proofs  # noqa: F401
from support.stack import VIBES, Wallet
from test_killed import Call, Payer, kill_at, until_answered
from test_money import CHARGE_BASE

from bridge.cli import main
from bridge.tables import Batch
from router.ledger import create_api_key

KILLS: tuple[tuple[str, int, Callable[[Operator], Batch]], ...] = (
    ("reserved", 0, kill_at_sealed),
    ("answered", 0, kill_before_sending),
    ("writing", 0, kill_when_sent),
    ("charged", 2, kill_when_mined),
)
"""Where the router is killed with two calls, how many of these are charged by then, where the bridge is."""


@pytest.fixture
def alice(operator: Operator) -> Wallet:
    """An account with a deposit and a ceiling, which the ledger knows."""
    wallet = operator.stack.wallet("alice", 10 * VIBES)
    operator.stack.deposit(wallet, 8 * VIBES)
    with operator.pipeline() as pipeline:
        pipeline.sync()
    operator.sign_ceiling(wallet, 6 * VIBES)
    return wallet


@pytest.fixture
def town(operator: Operator, upstream: Upstream) -> Iterator[Town]:
    """A router on the operator's ledger, for the deployed contract."""
    key_file = operator.folder / "signer.key"
    key_file.write_text("0x" + bytes(operator.stack.receipt_signer.key).hex())
    environment = operator.environment
    names = ("VIBES_CHAIN_ID", "VIBES_SETTLEMENT")
    world = make_world(
        operator.folder,
        upstream,
        VIBES_RECEIPT_KEY_FILE=str(key_file),
        **{name: environment[name] for name in names},
    )
    yield Town(world, key_file)
    world.router.stop()
    world.ledger.close()


def unsettled_base(operator: Operator) -> int:
    """What `vibes ledger check` says is not settled; it must find nothing wrong."""
    told = CliRunner().invoke(main, ["ledger", "check", "--json"], env=operator.environment)
    found = json.loads(told.output)
    assert (told.exit_code, found["differences"]) == (0, [])
    return int(found["unsettled_base"])


def test_the_books_are_chain_and_unsettled_wherever_router_and_bridge_are_killed(
    operator: Operator, alice: Wallet, town: Town, upstream: Upstream
) -> None:
    secret = operator.ledger.run(lambda connection: create_api_key(connection, alice.idx, "test").secret)
    user = User(alice.idx, secret, town.url, operator.ledger)
    payer = Payer("alice", secret, user, CHARGE_BASE)
    charged_base = operator.charge(alice, 1_000_001).receipt.charge_base
    calls: list[Call] = []
    for step, charged, bridge_killed in KILLS:
        pair = [Call(payer, stream, step, threading.Event()) for stream in (False, True)]
        kill_at(step, town, pair, upstream)
        calls += pair
        charged_base += charged * CHARGE_BASE
        assert unsettled_base(operator) == charged_base, step
        bridge_killed(operator)
        unsettled_base(operator)

    town.world.router.start()
    for call in calls:
        assert until_answered(call, town.url).status_code == 200, call.marker
    finish(operator)
    assert unsettled_base(operator) == 0
    spent_base = 1_000_001 + len(calls) * CHARGE_BASE
    assert user.settled_view().spent_base == spent_base
    events = operator.stack.settlement.events.BatchSettled().get_logs(from_block=0)
    assert sum(event["args"]["gross"] for event in events) == spent_base
    operator.assert_books_match_chain()
