"""What a running bridge tells the router's operator: its status, alerts with advice, the latest proofs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Final

from bridge.alerts import ADVICE
from bridge.status import Status
from bridge.store import Store
from router.ledger import Ledger, settled

RECENT_PROOFS: Final = 20


def report_of(status: Status, store: Store) -> dict[str, Any]:
    """The document: all of `Status.to_dict`, each open alert with `advice`, and `proofs`, newest first.

    A proof has the batch's `number` and `size`, `witness_ms` and `prove_ms`.
    """
    alerts = [asdict(alert) | {"advice": ADVICE.get(alert.code, "")} for alert in store.open_alerts()]
    proofs = [
        {"number": one.number, "size": one.size, "witness_ms": one.witness_ms, "prove_ms": one.prove_ms}
        for one in store.proved(RECENT_PROOFS)
    ]
    return status.to_dict() | {"alerts": alerts, "proofs": proofs}


def publish(status: Status, store: Store, ledger: Ledger) -> None:
    """Writes the document into the ledger, where the router finds it."""
    document = report_of(status, store)
    ledger.run(lambda connection: settled.report(connection, document, int(time.time())))
