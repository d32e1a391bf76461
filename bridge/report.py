"""What a running bridge tells the router's operator: its status, alerts with advice, the latest proofs."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Final

from bridge.alerts import ADVICE
from bridge.chain.settlement import SettlementContract
from bridge.errors import RpcRefused, RpcUnavailable
from bridge.status import Status
from bridge.store import Store
from router.ledger import Ledger, batches, settled
from router.ledger.partners import PartnerFigures, partners_document

RECENT_PROOFS: Final = 20


def report_of(status: Status, store: Store) -> dict[str, Any]:
    """The document: all of `Status.to_dict`, each open alert with `advice`, and `proofs`, newest first.

    A proof has the batch's `number` and `size`, `witness_ms` and `prove_ms`.
    """
    proofs = [
        {"number": one.number, "size": one.size, "witness_ms": one.witness_ms, "prove_ms": one.prove_ms}
        for one in store.proved(RECENT_PROOFS)
    ]
    return status.to_dict() | {"alerts": _alerts(store), "proofs": proofs}


def publish(status: Status, store: Store, ledger: Ledger, contract: SettlementContract) -> None:
    """Writes the document into the ledger, where the router finds it.

    With it go the `partners` as of the last block read; without the node, those that were told before.
    """
    block = status.indexed_block
    try:
        partners = partners_document(block, partners_on_chain(contract, block))
    except (RpcRefused, RpcUnavailable):
        before = ledger.read(batches.bridge_report)
        partners = {} if before is None else before.document.get("partners", {})
    document = report_of(status, store) | {"partners": partners}
    ledger.run(lambda connection: settled.report(connection, document, int(time.time())))


def publish_end(store: Store, ledger: Ledger) -> None:
    """Writes the last document of a bridge that ends: the one before, of its time, with the alerts of now.

    Neither node nor state is asked: an error that ends a bridge may say that they are not to be trusted.
    """
    before = ledger.read(batches.bridge_report)
    document = {} if before is None else dict(before.document)
    document |= {"alerts": _alerts(store), "leader": None}
    written_s = int(time.time()) if before is None else before.written_s
    ledger.run(lambda connection: settled.report(connection, document, written_s))


def _alerts(store: Store) -> list[dict[str, Any]]:
    return [asdict(alert) | {"advice": ADVICE.get(alert.code, "")} for alert in store.open_alerts()]


def partners_on_chain(contract: SettlementContract, block: int) -> list[PartnerFigures]:
    """Every partner but the house as of a block: two questions to the node for each.

    Raises:
        RpcUnavailable, RpcRefused: also if the contracts were not there yet.
    """
    figures = []
    for number, registered in enumerate(contract.registered(block)[1:], start=1):
        account = contract.struct("partnerAccount", number, block=block)
        figures.append(
            PartnerFigures(
                partner_id=number,
                name=registered["name"],
                payout=registered["payout"],
                active=registered["active"],
                registered_bps=registered["bps"],
                bps=account["bps"],
                gross_base=account["gross"],
                checkpoint_gross_base=account["checkpointGross"],
                accrued_base=account["accrued"],
                paid_base=account["paid"],
            )
        )
    return figures
