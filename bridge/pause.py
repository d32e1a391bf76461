"""The guardian's pause, which a bridge that settles once does not wait out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.chain.settlement import SettlementContract
from bridge.errors import ContractReverted, SettlementPaused
from bridge.state import ChainState
from bridge.store import Store


def require_running(state: ChainState, store: Store, contract: SettlementContract) -> None:
    """Raises SettlementPaused if the contract takes no batches as of the last block read."""
    if not state.paused:
        return
    block_number = None
    for event in store.events_named("Paused", "Unpaused"):
        if event.name == "Unpaused":
            block_number = None
        elif block_number is None:  # else it was paused already, which the contract does not mind
            block_number = event.block_number
    since_s = None if block_number is None else contract.client.block_time(block_number)
    raise SettlementPaused(contract.view("guardian"), block_number, since_s)


@contextmanager
def noticing_pause(contract: SettlementContract) -> Iterator[None]:
    """Raises SettlementPaused if the contract refuses a batch for a pause that was not read yet."""
    try:
        yield
    except ContractReverted as error:
        if error.error != "IsPaused":
            raise
        raise SettlementPaused(contract.view("guardian")) from None
