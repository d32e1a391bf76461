"""The settlement cycle: index → mirror → collect → prove → submit → confirm, resumable at every arrow."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract
from bridge.collect import collect
from bridge.config import BridgeSettings
from bridge.errors import BatchTaken, NoBatchSize, RpcUnavailable, SettlementTimeout, VerifierMismatch
from bridge.indexer import Indexer
from bridge.mirror import mirror
from bridge.prover import Proof, Prover
from bridge.store import open_store
from bridge.submit import Submitter
from bridge.tables import Batch, BatchStep
from mini_llm.wallet.receipt import ReceiptDomain
from router.ledger import Ledger, open_database

FOLLOW_S = 1
"""Between two looks at the chain while a proof is being made."""

Report = Callable[[str], None]
"""Takes one line about what is going on."""


class Pipeline:
    """One operator's bridge. Not for use by several threads at a time."""

    def __init__(self, settings: BridgeSettings, report: Report) -> None:
        """Connects to node, store and ledger and checks that they belong together.

        Raises ConfigError, RpcUnavailable, WrongChain, NoContract, WrongDomain, WrongStore, NotOperator,
        VerifierMismatch, NoBatchSize, ArtifactsMissing, DevelopmentKeyRefused.
        """
        self._settings, self._report = settings, report
        key = settings.operator_key()
        self._client = ChainClient(settings.rpc_url, settings.timeout_s, settings.chain_id)
        self._contract = SettlementContract(self._client, settings.settlement)
        confirmations = settings.confirmations_on(self._client.chain_id)
        self._store = open_store(settings.store_url)
        self._indexer = Indexer(
            self._client, self._contract, self._store, settings.start_block, confirmations, report
        )
        self._submitter = Submitter(self._client, self._contract, self._store, key, confirmations)
        self._prover = self._open_prover()
        self._engine = open_database(settings.ledger_url)
        self._ledger = Ledger(self._engine)
        self._receipt_domain = ReceiptDomain(self._client.chain_id, settings.settlement)

    def close(self) -> None:
        """Stops workers and the ledger's writer."""
        self._prover.close()
        self._ledger.close()
        self._engine.dispose()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def sync(self) -> None:
        """Indexes what is confirmed, brings it into the ledger, closes the batch that the chain settled."""
        self._follow()
        batch = self._store.open_batch()
        if batch is not None and self._indexer.state.batch_number >= batch.number:
            self._close_batch(batch)

    def settle_once(self) -> Batch | None:
        """Settles one batch, the unfinished one if there is one; None if there is nothing to settle."""
        self.sync()
        batch = self._store.open_batch() or self._seal()
        if batch is None:
            return None
        if batch.step is BatchStep.SEALED:
            batch = self._prove(batch)
        batch = self._submitter.submit(batch)
        self._report(f"batch {batch.number}: sent as {batch.tx_hash}")
        self._submitter.wait(batch, self._settings.mining_timeout_s)
        self.sync()
        return self._store.batch(batch.number)

    def watch(self, interval_s: int) -> None:
        """Settles for ever: at once while there is work, else every `interval_s` seconds.

        An outage or a transaction that is not mined in time is waited out: the same batch is tried again. A
        batch that another process of the operator sealed first is taken up from the store.
        """
        self._prover.warm_up(self._prover.sizes[0])
        while True:
            try:
                if self.settle_once() is not None:
                    continue
            except (BatchTaken, RpcUnavailable, SettlementTimeout) as error:
                self._report(f"{error}; trying again in {interval_s} s")
            time.sleep(interval_s)

    def _follow(self) -> None:
        """Indexes what is confirmed and brings it into the ledger."""
        self._indexer.advance()
        mirrored = mirror(self._store, self._ledger)
        if mirrored:
            self._report(f"indexed up to block {self._store.indexed()[0]}: {mirrored} events")

    def _seal(self) -> Batch | None:
        batch = self._ledger.read(
            lambda connection: collect(
                self._indexer.state, connection, self._receipt_domain, self._prover.sizes
            )
        )
        if batch is None:
            return None
        self._store.seal(batch)
        self._report(
            f"batch {batch.number}: sealed {batch.accounts} accounts in {batch.size} slots, "
            f"{batch.header.receipts_total} base units charged"
        )
        return batch

    def _prove(self, batch: Batch) -> Batch:
        self._report(f"batch {batch.number}: proving")
        proof = self._await_proof(batch)
        self._store.store_proof(
            batch.number, proof.words, round(proof.witness_s * 1000), round(proof.prove_s * 1000)
        )
        self._report(f"batch {batch.number}: proved in {proof.witness_s + proof.prove_s:.1f} s")
        return self._store.batch(batch.number)

    def _await_proof(self, batch: Batch) -> Proof:
        """Proves, and meanwhile follows the chain: a deposit need not wait for a proof of others."""
        with ThreadPoolExecutor(1) as waiting:
            proving = waiting.submit(self._prover.prove, batch.size, batch.witness)
            while not wait([proving], FOLLOW_S).done:
                with suppress(RpcUnavailable):  # a proof outlives an outage
                    self._follow()
            return proving.result()

    def _close_batch(self, batch: Batch) -> None:
        """The chain has a batch of this number: ours, or one that leaves ours without a place."""
        settled = self._store.settled_batch(batch.number)
        if settled is None or tuple(settled.args["words"]) != batch.words:
            self._store.discard(batch.number)
            self._report(
                f"batch {batch.number}: the chain settled another one; its charges are collected anew"
            )
            return
        receipt = self._client.receipt(settled.tx_hash)
        gas_used = 0 if receipt is None else receipt["gasUsed"]
        self._store.finish(batch.number, settled.tx_hash, settled.block_number, gas_used)
        self._report(f"batch {batch.number}: final in block {settled.block_number}, {gas_used} gas")

    def _open_prover(self) -> Prover:
        """A prover for the sizes that were built and registered. Raises VerifierMismatch, NoBatchSize."""
        built = sorted(int(folder.name[5:]) for folder in self._settings.circuits_dir.glob("batch[0-9]*"))
        registered = {
            size: found for size in built if (found := self._contract.circuit_hash(size)) is not None
        }
        if not registered:
            raise NoBatchSize(tuple(built))
        prover = Prover(self._settings.circuits_dir, tuple(registered), self._client.chain_id)
        for size, artifacts in prover.artifacts.items():
            if artifacts.circuit_hash != registered[size]:
                raise VerifierMismatch(size, artifacts.circuit_hash, registered[size])
        return prover
