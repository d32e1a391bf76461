"""The bridge's own memory: what it read from the chain and how far each of its batches got.

Every step is one db session that either happened or did not, so that a process killed at any point
finds on its next start exactly where to go on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from sqlalchemy import ColumnElement, delete, func, select, update

from bridge.alerts import AlertRecords
from bridge.batches import Batches
from bridge.errors import StoreRewound, WrongStore
from bridge.sessions import open_engine
from bridge.state import ChainEvent, ChainState
from bridge.tables import Deployment, DroppedRow, EventRow

PAGE: Final = 1_000
"""Events that are read at a time."""

_UNMIRRORED = EventRow.mirrored.is_(False)
_MIRRORED_BATCH = (EventRow.name == "BatchSettled", EventRow.mirrored.is_(True))


class Store(Batches, AlertRecords):
    """The bridge's database. One instance per process; several threads may use it."""

    # -- what was read from the chain

    def bind(self, settlement: str, chain_id: int, block_number: int, block_hash: str) -> None:
        """Ties an empty store to a deployment, indexed up to the given block; a tied one is checked.

        Raises WrongStore if it is another deployment's.
        """
        with self._session() as session:
            row = session.scalar(select(Deployment))
            if row is None:
                session.add(
                    Deployment(
                        settlement=settlement,
                        chain_id=chain_id,
                        indexed_block=block_number,
                        indexed_hash=block_hash,
                        start_block=block_number,
                        start_hash=block_hash,
                    )
                )
            elif (row.settlement, row.chain_id) != (settlement, chain_id):
                raise WrongStore(
                    f"{settlement} on chain {chain_id}", f"{row.settlement} on chain {row.chain_id}"
                )

    def deployment(self) -> Deployment | None:
        """The deployment that the store is tied to, None if it is empty."""
        with self._session() as session:
            return session.scalar(select(Deployment))

    def indexed(self) -> tuple[int, str]:
        """Number and hash of the last block that was read. Raises NoResultFound before `bind`."""
        with self._session() as session:
            row = session.scalars(select(Deployment)).one()
            return row.indexed_block, row.indexed_hash

    def settled_batch(self, number: int) -> ChainEvent | None:
        """The `BatchSettled` event of a batch number, None if it was not read yet."""
        with self._session() as session:
            newest_first = (
                select(EventRow).where(EventRow.name == "BatchSettled").order_by(EventRow.position.desc())
            )
            rows = session.scalars(newest_first.execution_options(yield_per=8))
            events = (row.to_event() for row in rows)
            return next((found for found in events if found.args["batchNumber"] == number), None)

    def add_events(self, events: Iterable[ChainEvent], block_number: int, block_hash: str) -> None:
        """Stores the events up to a block and moves on to it; an event that is there already is skipped."""
        with self._session() as session:
            deployment = session.scalars(select(Deployment).with_for_update()).one()
            for found in events:
                known = select(EventRow.position).where(
                    EventRow.tx_hash == found.tx_hash, EventRow.log_index == found.log_index
                )
                if session.scalar(known) is None:
                    session.add(
                        EventRow(
                            tx_hash=found.tx_hash,
                            log_index=found.log_index,
                            block_number=found.block_number,
                            block_hash=found.block_hash,
                            name=found.name,
                            args=json.dumps(dict(found.args)),
                            seen_at=found.seen_at,
                        )
                    )
            if block_number > deployment.indexed_block:
                deployment.indexed_block, deployment.indexed_hash = block_number, block_hash

    def events_after(self, position: int) -> Iterator[tuple[int, ChainEvent]]:
        """(position, event) of everything behind a position, in chain order, read as it is asked for.

        Between two pages the store is free for others. Raises StoreRewound if what was read before a page was
        taken back meanwhile.
        """
        rewinds = self.rewinds()
        for page in self._pages(position):
            if self.rewinds() != rewinds:  # asked for after the rows: they change with it
                raise StoreRewound(position)
            for position, found in page:
                yield position, found

    def events_named(self, *names: str, since: int = 0) -> list[ChainEvent]:
        """The events with these names that were first seen at or after `since` (unix seconds), in order."""
        found = select(EventRow).where(EventRow.name.in_(names), EventRow.seen_at >= since)
        with self._session() as session:
            return [row.to_event() for row in session.scalars(found.order_by(EventRow.position))]

    def accounts_opened(self) -> int:
        """How many accounts the events opened."""
        with self._session() as session:
            query = select(func.count()).select_from(EventRow).where(EventRow.name == "AccountOpened")
            return int(session.scalars(query).one())

    def unmirrored(self) -> Iterator[tuple[int, ChainEvent]]:
        """(position, event) of what the ledger does not have yet, in chain order, read as it is asked for."""
        for page in self._pages(0, _UNMIRRORED):
            yield from page

    def unmirrored_count(self) -> int:
        """How many events the ledger does not have yet."""
        with self._session() as session:
            return int(session.scalars(select(func.count()).where(_UNMIRRORED)).one())

    def mirrored_batch_count(self) -> int:
        """How many settled batches the ledger has."""
        with self._session() as session:
            return int(session.scalars(select(func.count()).where(*_MIRRORED_BATCH)).one())

    def mirrored_batches(self) -> Iterator[ChainEvent]:
        """The `BatchSettled` events that the ledger has, in chain order."""
        with self._session() as session:
            rows = select(EventRow).where(*_MIRRORED_BATCH).order_by(EventRow.position)
            for row in session.scalars(rows.execution_options(yield_per=100)):
                yield row.to_event()

    def mark_mirrored(self, position: int) -> None:
        """Notes that the ledger has the event."""
        with self._session() as session:
            session.execute(update(EventRow).where(EventRow.position == position).values(mirrored=True))

    def _pages(self, position: int, *where: ColumnElement[bool]) -> Iterator[list[tuple[int, ChainEvent]]]:
        """(position, event) behind a position, in chain order; the store is free between two pages."""
        query = select(EventRow).where(*where).order_by(EventRow.position).limit(PAGE)
        while True:
            with self._session() as session:
                rows = session.scalars(query.where(EventRow.position > position)).all()
            yield [(row.position, row.to_event()) for row in rows]
            if len(rows) < PAGE:
                return
            position = rows[-1].position

    # -- what the chain dropped again

    def rewinds(self) -> int:
        """How often blocks that had been read were dropped; each time, all is to be folded anew."""
        with self._session() as session:
            return session.scalar(select(Deployment.rewinds)) or 0  # none in a new store

    def landmarks(self) -> list[tuple[int, str]]:
        """(number, hash) of the blocks whose loss matters, rising: start, with events, the last read."""
        with self._session() as session:
            row = session.scalars(select(Deployment)).one()
            blocks = select(EventRow.block_number, EventRow.block_hash).distinct()
            found = {(number, block_hash) for number, block_hash in session.execute(blocks)}
            ends = {(row.start_block, row.start_hash), (row.indexed_block, row.indexed_hash)}
            return sorted(found | ends)

    def rewind(self, block_number: int, block_hash: str) -> int:
        """Moves the events behind a block to `dropped` and goes back to it; returns how many they were."""
        with self._session() as session:
            deployment = session.scalars(select(Deployment).with_for_update()).one()
            behind = EventRow.block_number > block_number
            rows = session.scalars(select(EventRow).where(behind).order_by(EventRow.position)).all()
            session.add_all(DroppedRow(name=row.name, reference=row.to_event().reference) for row in rows)
            session.execute(delete(EventRow).where(behind))
            deployment.indexed_block, deployment.indexed_hash = block_number, block_hash
            deployment.rewinds += 1
            return len(rows)

    def dropped(self) -> list[tuple[str, str]]:
        """(name, reference) of the dropped events that the ledger may still have."""
        with self._session() as session:
            rows = session.scalars(select(DroppedRow).order_by(DroppedRow.id))
            return [(row.name, row.reference) for row in rows]

    def forget_dropped(self) -> None:
        """Notes that the ledger took them back."""
        with self._session() as session:
            session.execute(delete(DroppedRow))


def rebuild_state(store: Store, domain: int) -> ChainState:
    """The state that the store's events lead to. Raises as `ChainState.apply`."""
    while True:
        state = ChainState(domain)
        try:
            for _, event in store.events_after(0):
                state.apply(event)
        except StoreRewound:  # the leader follows a reorganisation just now
            continue
        return state


def open_store(url: str) -> Store:
    """Opens (and creates) the store at an SQLAlchemy URL; commits are durable once they return."""
    return Store(open_engine(url))
