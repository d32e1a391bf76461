"""Follows the contract: reads its logs in ranges of confirmed blocks, stores and folds them into a state.

A block that was read can still be dropped by the chain. Up to the number of confirmations that does no harm:
no block is read before so many lie on top. Whatever reaches deeper is rewound: the events behind the last
block that both histories share leave the store (and, by `bridge.mirror`, the ledger), and the new history is
read instead.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract
from bridge.errors import ReorgDetected, RpcUnavailable, StateMismatch, UnexpectedEvent
from bridge.rollup.errors import InvalidTransition
from bridge.state import ChainState
from bridge.store import Store
from mini_llm.errors import ConfigError

RANGE_BLOCKS: Final = 2_000
"""Blocks per eth_getLogs; public nodes refuse much larger ranges."""

MOST_RESTARTS: Final = 5
"""How often one `advance` starts over because the chain changed while it was being read."""


@dataclass(frozen=True)
class Rewind:
    """A reorganisation that reached blocks that had been read.

    from_block: the last block that had been read. to_block: up to here all that was read still holds.
    events: how many events were behind it.
    """

    from_block: int
    to_block: int
    events: int

    def __str__(self) -> str:
        return (
            f"the chain dropped blocks that had been read: back from block {self.from_block} to"
            f" {self.to_block}, {self.events} events taken back"
        )


class Indexer:
    """Keeps a store and a `ChainState` at the newest confirmed block.

    start_block: first block read. confirmations: blocks that must lie on top of a block before it is read.
    report: takes a line of progress while there is much to read, and one for each rewind.
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
        self._position = self._rewinds = 0
        self._bind()

    def advance(self) -> list[Rewind]:
        """Reads up to the newest confirmed block and checks the rebuilt root against the contract's.

        Returns the reorganisations that it had to follow, usually none.

        Raises ReorgDetected if not even the block before the first one is left; RpcUnavailable also if the
        node does not have a block (yet) that it had, or if the chain does not stand still long enough to be
        read; StateMismatch if calldata and chain disagree.
        """
        rewinds = []
        for _ in range(MOST_RESTARTS):
            rewind = self._rewind_if_gone()
            if rewind is not None:
                rewinds.append(rewind)
                self._report(str(rewind))
            if self._read_confirmed() and self._follows():
                return rewinds
        raise RpcUnavailable("eth_getLogs", "the chain changed each time that it was read")

    def forget_unmirrored(self) -> None:
        """Goes back before the first event that the ledger does not have: what is read next counts instead.

        For events that turned out to be made up: another answer, or another node, is then believed.
        """
        for _, first in self._store.unmirrored():
            before = (one for one in self._store.landmarks() if one[0] < first.block_number)
            self._store.rewind(*max(before))
            return

    def _bind(self) -> None:
        """A fresh store counts as indexed up to just before the first block to read."""
        before = max(self._start_block - 1, 0)
        block_hash = self._client.block_hash(before)
        if block_hash is None:
            raise ConfigError("VIBES_START_BLOCK", f"is {self._start_block}, the chain ends before it")
        self._store.bind(self._contract.address, self._client.chain_id, before, block_hash)

    def _rewind_if_gone(self) -> Rewind | None:
        """Goes back to the last landmark that is still in the chain, if the last block read is not."""
        indexed, indexed_hash = self._store.indexed()
        actual = self._client.block_hash(indexed)
        if actual == indexed_hash:
            return None
        if actual is None:  # a node that lags behind is no reorganisation, and a shorter chain grows again
            raise _no_block(indexed)
        landmarks = self._store.landmarks()
        # Blocks name their parents, so if one is in the chain, then so is everything before it.
        lost = bisect_left(landmarks, True, key=lambda landmark: not self._stands(landmark))
        if lost == 0:
            start, start_hash = landmarks[0]
            raise ReorgDetected(start, start_hash, self._client.block_hash(start))
        block, block_hash = landmarks[lost - 1]
        return Rewind(indexed, block, self._store.rewind(block, block_hash))

    def _stands(self, landmark: tuple[int, str]) -> bool:
        number, block_hash = landmark
        return self._client.block_hash(number) == block_hash

    def _read_confirmed(self) -> bool:
        """Stores all that is confirmed; False if the chain changed meanwhile."""
        indexed, _ = self._store.indexed()
        confirmed = self._client.head() - self._confirmations
        while indexed < confirmed:
            last = min(indexed + RANGE_BLOCKS, confirmed)
            if not self._read(indexed + 1, last):
                return False
            indexed = last
            if indexed < confirmed:
                self._report(f"read up to block {indexed} of {confirmed}")
        return True

    def _read(self, first: int, last: int) -> bool:
        """Stores the events of a range of blocks; False if they are not the present chain's."""
        last_hash = self._client.block_hash(last)
        if last_hash is None:
            raise _no_block(last)
        logs = self._client.logs(self._contract.address, first, last)
        seen_at = int(time.time())
        events = [event for log in logs if (event := self._contract.read_event(log, seen_at)) is not None]
        before = self._store.indexed()
        if not self._stands((last, last_hash)) or not self._stands(before):
            return False
        self._store.add_events(events, last, last_hash)
        return True

    def _follows(self) -> bool:
        """Folds what was read; False if the chain changed meanwhile."""
        try:
            self._fold()
            return self._root_agrees()
        except (StateMismatch, UnexpectedEvent, InvalidTransition):
            self.forget_unmirrored()
            raise

    def _fold(self) -> None:
        rewinds = self._store.rewinds()
        if rewinds != self._rewinds:  # by whichever process: what was folded is not the chain's any more
            self.state, self._position, self._rewinds = ChainState(self._contract.domain), 0, rewinds
        for position, event in self._store.events_after(self._position):
            self.state.apply(event)
            self._position = position

    def _root_agrees(self) -> bool:
        """The contract's own root at the indexed block must be the rebuilt one: no batch was missed.

        False if the chain changed before it could be asked.
        """
        block, block_hash = self._store.indexed()
        expected = self._contract.view("stateRoot", block=block)
        if expected == self.state.rollup.root:
            return True
        if not self._stands((block, block_hash)):
            return False
        raise StateMismatch(self.state.batch_number, expected, self.state.rollup.root)


def _no_block(number: int) -> RpcUnavailable:
    """The node lags, or another one behind the same address does."""
    return RpcUnavailable("eth_getBlockByNumber", f"it does not have block {number} (any more)")
