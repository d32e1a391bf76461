"""The settlement cycle: index → mirror → collect → prove → submit → final, resumable at every arrow.

Everything that a step needs is in the store, so a step is the same whether it follows the one before or a
restart. Batches are sealed on top of each other, proved in parallel and submitted strictly in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from bridge.alerts import Alerts, Emit
from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract
from bridge.collect import collect
from bridge.config import BridgeSettings
from bridge.crosscheck import CrossCheck
from bridge.errors import (
    FalseLog,
    FalseState,
    RpcUnavailable,
    SettlementTimeout,
)
from bridge.forecast import forecast
from bridge.indexer import Indexer
from bridge.leader import Leader
from bridge.mirror import catch_up, mirror, price
from bridge.pause import noticing_pause, require_running
from bridge.proofs import Proofs, open_prover
from bridge.report import publish, publish_end
from bridge.sending import FEE_LIMIT, Sending
from bridge.sessions import add_indexes
from bridge.state import ChainState
from bridge.status import Status, present_status
from bridge.store import open_store
from bridge.submit import FeePolicy, Submitter
from bridge.tables import Batch, BatchStep
from router.ledger import Ledger, open_database

PROOF_POLL_S = 1.0
"""Between two looks at the chain while proofs are being made, seconds."""

FIRST_POLL_S = 0.05
LONGEST_POLL_S = 2.0
"""Between two looks at a sent transaction: the pause doubles from the first to the second."""

MAX_UNFINISHED = 16
"""Most batches that wait for proof, block or confirmations at a time."""

Report = Callable[[str], None]
"""Takes one line about what is going on."""


def _silent(_event: Mapping[str, object]) -> None:
    """Alerts are in the store all the same."""


class Pipeline:
    """One operator's bridge. Not for use by several threads at a time.

    settings: what it was opened with. alerts: where it says what its operator has to know.
    """

    def __init__(
        self, settings: BridgeSettings, report: Report, emit: Emit = _silent, wait_to_lead: bool = False
    ) -> None:
        """Becomes the leader, connects to node and ledger and checks that all belongs together.

        wait_to_lead: wait while another process settles from this store, instead of raising NotLeader.

        Raises ConfigError, NotLeader, RpcUnavailable, WrongChain, NoContract, WrongDomain, WrongStore,
        NotOperator, VerifierMismatch, NoBatchSize, ArtifactsMissing, DevelopmentKeyRefused.
        """
        self.settings, self._report = settings, report
        with ExitStack() as opened:
            self._open(opened, emit, wait_to_lead)
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack, emit: Emit, wait_to_lead: bool) -> None:
        settings, report = self.settings, self._report
        key = settings.operator_key()
        self._store = open_store(settings.store_url)
        opened.callback(self._store.engine.dispose)
        self._leader = Leader(self._store.engine)
        opened.callback(self._leader.release)
        self._leader.acquire(wait_to_lead, report)
        add_indexes(self._store.engine)
        self.alerts = Alerts(self._store, emit)
        self._client = ChainClient(settings.rpc_url, settings.timeout_s, settings.chain_id)
        self._contract = SettlementContract(self._client, settings.settlement)
        confirmations = settings.confirmations_on(self._client.chain_id)
        self._indexer = Indexer(
            self._client, self._contract, self._store, settings.start_block, confirmations, report
        )
        self._checks = CrossCheck(self._contract, self._store)
        policy = FeePolicy(settings.max_fee_wei, settings.stuck_s, confirmations, settings.tx_type)
        submitter = Submitter(self._client, self._contract, self._store, key, policy)
        self._sending = Sending(submitter, self._store, self._leader, self.alerts, report)
        engine = open_database(settings.ledger_url)
        opened.callback(engine.dispose)
        self._ledger = opened.enter_context(Ledger(engine))
        catch_up(self._store, self._ledger)
        self._prover = opened.enter_context(open_prover(settings, self._contract))
        allowed = self._leader.check
        self._proofs = Proofs(self._prover, self._store, settings.prover_workers, allowed, report)
        opened.callback(self._proofs.close)

    def close(self) -> None:
        """Stops workers and the ledger's writer, and lets another process lead."""
        self._opened.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def sync(self) -> ChainState:
        """Indexes what is confirmed, brings it into the ledger, and squares the open batches with it.

        Raises WrongChain, ReorgDetected, StateMismatch, FalseReceipt and the like if the node is not to be
        trusted; nothing was changed by what it said then. Returns the state that the next batch builds on.
        """
        self._follow()
        return self._square()

    def settle_once(self) -> Batch | None:
        """Settles one batch, the first unfinished one if there is any; None if there is nothing to settle.

        Raises SettlementTimeout if it was sent and is not final in time, SettlementPaused if the contract is
        paused; running again goes on with it.
        """
        while True:
            ahead = self.sync()
            require_running(self._indexer.state, self._store, self._contract)
            batch = self._store.open_batch() or self._seal(ahead)
            if batch is None:
                return None
            settled = self._see_through(batch.number)
            if settled is not None:
                return settled

    def turn(self) -> None:
        """One look at everything, and whatever is due; waits for nothing. Raises as `sync` does, and more."""
        self._seal(self.sync())
        self._prove()
        self._submit()

    def warm_up(self) -> None:
        """Has a worker load its keys before there is work for it."""
        self._prover.warm_up(self._prover.sizes[0])

    def wait_for_proof(self, timeout_s: float) -> None:
        """Waits until any proof is there or has failed, at most so long; the next turn deals with it."""
        self._proofs.await_any(timeout_s)

    def steps(self) -> dict[int, BatchStep]:
        """How far each unfinished batch is, by number."""
        return {batch.number: batch.step for batch in self._store.unfinished()}

    def _see_through(self, number: int) -> Batch | None:
        """Brings a batch to its end; None if it was discarded."""
        sent_at: float | None = None
        pause_s = FIRST_POLL_S
        while (batch := self._store.find_batch(number)) is not None and batch.step is not BatchStep.FINAL:
            self._prove()
            try:
                with noticing_pause(self._contract):
                    self._submit()
                if batch.step is BatchStep.SEALED:
                    self._proofs.wait(PROOF_POLL_S)
                else:
                    time.sleep(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_POLL_S)
                self.sync()
            except RpcUnavailable:
                if self._store.batch(number).step is not BatchStep.SEALED:
                    raise
                continue  # a proof outlives an outage
            batch = self._store.find_batch(number)
            if batch is not None and batch.step is not BatchStep.FINAL:
                require_running(self._indexer.state, self._store, self._contract)
            if batch is not None and batch.step is BatchStep.SUBMITTED:
                sent_at = sent_at or time.monotonic()
                if time.monotonic() - sent_at >= self.settings.mining_timeout_s:
                    raise SettlementTimeout(number, str(batch.tx_hash), self.settings.mining_timeout_s)
        return batch

    def status(self) -> Status:
        """How things stand, without reading everything anew."""
        return present_status(self.settings, self._contract, self._store, self._indexer.state, self._ledger)

    def publish(self, status: Status) -> None:
        """Writes into the ledger how things stand, for the router's operator."""
        publish(status, self._store, self._ledger, self._contract)

    def publish_end(self) -> None:
        """Adds the alerts of now to what was published last, before the bridge ends with an error."""
        publish_end(self._store, self._ledger)

    # -- steps

    def _follow(self) -> None:
        """Indexes what is confirmed, checks it a second way, and brings it into the ledger."""
        self._client.require_chain()
        for rewind in self._indexer.advance():
            self.alerts.note("reorg", str(rewind))
            for number in self._store.final_after(rewind.to_block):
                self._store.reopen(number)
        try:
            self._checks.events(self._indexer.state)
        except (FalseLog, FalseState):
            self._indexer.forget_unmirrored()
            raise
        self._leader.check()
        if mirrored := mirror(self._store, self._ledger):
            self._report(f"indexed up to block {self._store.indexed()[0]}: {mirrored} events")
        price(self._client, self._ledger)

    def _square(self) -> ChainState:
        """Closes batches that the chain has, reopens dropped ones; the state after all that are left."""
        self._leader.check()
        settled = self._indexer.state.batch_number
        while (last := self._store.last_final()) is not None and last.number > settled:
            self._store.reopen(last.number)
            self.alerts.note("batch_dropped", f"batch {last.number}: its block is no longer in the chain")
        for batch in self._store.unfinished():
            if batch.number <= settled and not self._close(batch):
                break
        while True:
            unfinished = self._store.unfinished()
            if not unfinished:
                self.alerts.clear(FEE_LIMIT)
            ahead = forecast(self._indexer.state, unfinished)
            if ahead.broken is None:
                return ahead.state
            self._discard(ahead.broken.number, ahead.reason)

    def _close(self, batch: Batch) -> bool:
        """Finishes a batch whose number the chain has; False if it has another one, and ours has no place."""
        settled = self._store.settled_batch(batch.number)
        if settled is None or tuple(settled.args["words"]) != batch.words:
            self._discard(batch.number, "the chain settled another one")
            return False
        receipt = self._client.receipt(settled.tx_hash)
        gas_used = 0 if receipt is None else receipt["gasUsed"]
        self._store.finish(batch.number, settled.tx_hash, settled.block_number, gas_used)
        self._report(f"batch {batch.number}: final in block {settled.block_number}, {gas_used} gas")
        return True

    def _discard(self, number: int, reason: str) -> None:
        numbers = ", ".join(str(one) for one in self._store.discard_from(number))
        self.alerts.note("batch_discarded", f"batch {numbers}: {reason}")
        self._report(f"batch {numbers}: {reason}; its charges are collected anew")

    def _seal(self, ahead: ChainState) -> Batch | None:
        """Seals the next batch on top of `ahead`, the state after those not settled, if there is enough."""
        unfinished = self._store.unfinished()
        sealed = [batch for batch in unfinished if batch.step is BatchStep.SEALED]
        if len(sealed) >= self.settings.prover_workers or len(unfinished) >= MAX_UNFINISHED:
            return None
        terms = self._contract.terms()
        batch = self._ledger.read(
            lambda connection: collect(
                ahead,
                connection,
                self._prover.sizes,
                terms,
                only_full=any(batch.number not in self._sending.mined for batch in unfinished),
            )
        )
        if batch is None:
            return None
        self._checks.accounts(batch.indices, self._indexer.state)
        self._leader.check()
        self._store.seal(batch)
        self._report(
            f"batch {batch.number}: sealed {batch.accounts} accounts in {batch.size} slots, "
            f"{batch.header.receipts_total} base units charged"
        )
        return batch

    def _prove(self) -> None:
        for batch in self._store.unfinished():
            if batch.step is BatchStep.SEALED:
                self._proofs.start(batch)
        self._proofs.wait(0)

    def _submit(self) -> None:
        if not self._indexer.state.paused:  # the contract would refuse it
            self._sending.send_next()
