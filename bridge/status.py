"""How the bridge stands, from its own databases; the node is asked for its newest block only."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from bridge.chain.client import ChainClient
from bridge.config import BridgeSettings
from bridge.errors import RpcUnavailable
from bridge.state import ChainState
from bridge.store import open_store
from bridge.tables import BatchStep
from mini_llm.wallet.ceiling import settlement_domain
from router.ledger import Ledger, open_database, read


@dataclass(frozen=True)
class Status:
    """What `vibes status` shows. Amounts in base units.

    indexed_block: last block read, None before the first. head_block: the node's newest, None if out of
    reach. accounts: accounts in the tree. batches: settled so far. open_batch, open_step: the unfinished one.
    unsettled_base: posted charges that no batch has settled. waiting_requests: accounts whose deposit,
    withdrawal or key change waits for a batch. unmirrored_events: read, and not yet in the ledger.
    """

    settlement: str
    chain_id: int | None
    indexed_block: int | None
    head_block: int | None
    accounts: int
    batches: int
    open_batch: int | None
    open_step: str | None
    last_tx: str | None
    unsettled_base: int
    waiting_requests: int
    unmirrored_events: int

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def read_status(settings: BridgeSettings) -> Status:
    """Reads both databases and changes neither. Raises RpcRefused, WrongChain, StateMismatch."""
    try:
        head = ChainClient(settings.rpc_url, settings.timeout_s, settings.chain_id).head()
    except RpcUnavailable:
        head = None
    store = open_store(settings.store_url)
    deployment = store.deployment()
    batch = store.open_batch()
    final = [one for one in store.batches() if one.step is BatchStep.FINAL]
    state = ChainState(
        0 if deployment is None else settlement_domain(deployment.chain_id, deployment.settlement)
    )
    for _, event in store.events_after(0):
        state.apply(event)
    settled = {idx: account.spent for idx, account in state.rollup.accounts.items()}
    with Ledger(open_database(settings.ledger_url)) as ledger:
        unsettled = ledger.read(lambda connection: read.unsettled(connection, settled))
    return Status(
        settlement=settings.settlement,
        chain_id=None if deployment is None else deployment.chain_id,
        indexed_block=None if deployment is None else deployment.indexed_block,
        head_block=head,
        accounts=len(state.rollup.accounts),
        batches=state.batch_number,
        open_batch=None if batch is None else batch.number,
        open_step=None if batch is None else batch.step,
        last_tx=final[-1].tx_hash if final else None,
        unsettled_base=sum(one.posted_total_base - settled.get(one.idx, 0) for one in unsettled),
        waiting_requests=len(state.requests),
        unmirrored_events=len(store.unmirrored()),
    )
