"""Follows the contract: reads its logs in ranges of confirmed blocks, stores and folds them into a state."""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract
from bridge.errors import ConfigError, ReorgDetected, StateMismatch
from bridge.state import ChainState
from bridge.store import Store

RANGE_BLOCKS = 2_000
"""Blocks per eth_getLogs; public nodes refuse much larger ranges."""


class Indexer:
    """Keeps a store and a `ChainState` at the newest confirmed block.

    start_block: first block read. confirmations: blocks that must lie on top of a block before it is read.
    report: takes a line of progress while there is much to read.
    """

    def __init__(
        self,
        client: ChainClient,
        contract: SettlementContract,
        store: Store,
        start_block: int,
        confirmations: int,
        report: Callable[[str], None],
    ) -> None:
        """Ties the store to the contract. Raises WrongStore if it is another deployment's."""
        self._client, self._contract, self._store = client, contract, store
        self._start_block, self._confirmations, self._report = start_block, confirmations, report
        self.state = ChainState(contract.domain)
        self._position = 0
        self._bind()

    def advance(self) -> None:
        """Reads up to the newest confirmed block and checks the rebuilt root against the contract's.

        Raises ReorgDetected if an indexed block is gone, StateMismatch if calldata and chain disagree.
        """
        indexed, indexed_hash = self._store.indexed()
        actual = self._client.block_hash(indexed)
        if actual != indexed_hash:
            raise ReorgDetected(indexed, indexed_hash, actual)
        confirmed = self._client.head() - self._confirmations
        while indexed < confirmed:
            last = min(indexed + RANGE_BLOCKS, confirmed)
            self._read(indexed + 1, last)
            indexed = last
            if indexed < confirmed:
                self._report(f"read up to block {indexed} of {confirmed}")
        self._fold()
        self._check_root(indexed)

    def _bind(self) -> None:
        """A fresh store counts as indexed up to just before the first block to read."""
        before = max(self._start_block - 1, 0)
        block_hash = self._client.block_hash(before)
        if block_hash is None:
            raise ConfigError("VIBES_START_BLOCK", f"is {self._start_block}, the chain ends before it")
        self._store.bind(self._contract.address, self._client.chain_id, before, block_hash)

    def _read(self, first: int, last: int) -> None:
        """Stores the events of a range of blocks."""
        last_hash = self._client.block_hash(last)
        logs = self._client.logs(self._contract.address, first, last)
        seen_at = int(time.time())
        events = [event for log in logs if (event := self._contract.read_event(log, seen_at)) is not None]
        again = self._client.block_hash(last)
        if last_hash is None or again != last_hash:
            raise ReorgDetected(last, str(last_hash), again)
        self._store.add_events(events, last, last_hash)

    def _fold(self) -> None:
        for position, event in self._store.events_after(self._position):
            self.state.apply(event)
            self._position = position

    def _check_root(self, block: int) -> None:
        """The contract's own root at the indexed block must be the rebuilt one: no batch was missed."""
        expected = self._contract.view("stateRoot", block=block)
        if expected != self.state.rollup.root:
            raise StateMismatch(self.state.batch_number, expected, self.state.rollup.root)
