"""Which batch is sent next: strictly in order, for each builds on the root of the one before."""

from __future__ import annotations

from collections.abc import Callable, Container

from bridge.alerts import Alerts
from bridge.leader import Leader
from bridge.store import Store
from bridge.submit import Submitter
from bridge.tables import Batch, BatchStep
from mini_llm.wallet.gas import FeesTooHigh

FEE_LIMIT = "fee_limit"
"""Alert while the next batch waits because gas costs more than the operator pays."""


class Sending:
    """Sends proved batches one by one and remembers which are in a block, which may still be dropped."""

    def __init__(
        self,
        submitter: Submitter,
        store: Store,
        leader: Leader,
        alerts: Alerts,
        report: Callable[[str], None],
    ) -> None:
        self._submitter, self._store, self._leader = submitter, store, leader
        self._alerts, self._report = alerts, report
        self._mined: set[int] = set()

    @property
    def mined(self) -> Container[int]:
        """Numbers of the batches whose transaction is in a block."""
        return self._mined

    def send_next(self) -> None:
        """Sends the first batch that is not mined, if it is proved. Raises as `Submitter`, but for its fees.

        The alert about fees lasts no longer than a batch waits for them.
        """
        batch = self._next()
        if batch is not None:
            self._leader.check()
            try:
                sent = self._submitter.push(batch)
            except FeesTooHigh as error:
                self._alerts.open(FEE_LIMIT, f"batch {batch.number}: {error}")
                return
            if sent.tx_hash not in (None, batch.tx_hash):
                self._report(f"batch {batch.number}: sent as {sent.tx_hash}")
        self._alerts.clear(FEE_LIMIT)

    def _next(self) -> Batch | None:
        """The first batch that is not mined; None if there is none, or it is not proved yet."""
        for batch in self._store.unfinished():
            if batch.step is BatchStep.SEALED:
                return None
            if batch.step is BatchStep.SUBMITTED and self._submitter.mined(batch) is not None:
                self._mined.add(batch.number)
                continue
            self._mined.discard(batch.number)
            return batch
        return None
