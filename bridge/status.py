"""How the bridge stands: what is settled, what waits and for how long, who settles, with which keys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract
from bridge.config import BridgeSettings
from bridge.errors import RpcRefused, RpcUnavailable
from bridge.leader import current_leader
from bridge.proving.artifacts import Artifacts, ArtifactsMissing
from bridge.sessions import require_table
from bridge.state import ChainState, Requests
from bridge.store import Store, open_store, rebuild_state
from bridge.tables import Alert, Batch
from mini_llm.wallet.ceiling import settlement_domain
from router.ledger import Ledger, open_database, read


@dataclass(frozen=True)
class OpenBatch:
    """A batch that is not final. age_s: since it was sealed. attempts: transactions signed for it."""

    number: int
    step: str
    accounts: int
    gross_base: int
    age_s: int
    attempts: int
    tx_hash: str | None


@dataclass(frozen=True)
class Keys:
    """Keys in use, as the contract has them at its newest block.

    verifiers: by batch size, the circuit's hash and where its proving key comes from: `development` (a single
    party's, worth nothing off local chains), `ceremony`, or `not built here`.
    """

    operator: str
    receipt_signer: str
    guardian: str
    verifiers: Mapping[int, Mapping[str, str]]


@dataclass(frozen=True)
class ChainFacts:
    """What the node says now. head_time, indexed_time: unix seconds of the newest block and the last read."""

    chain_id: int
    confirmations: int
    head_block: int
    head_time: int
    indexed_time: int
    operator_wei: int
    keys: Keys


@dataclass(frozen=True)
class Status:
    """What `vibes status` shows. Amounts in base units, ages and deadlines in seconds.

    chain: None if the node is out of reach.
    lag_blocks: confirmed and not read. lag_s: age of the last block read at the time of the newest.
    queue_age_s: since the oldest charge or request that waits.
    next_deadline_s: until the first request may be answered by a freeze, negative if that is past.
    unsettled_base: posted charges that no batch has settled. unsettleable_base: those besides that none
        ever will, because the accounts left: written off.
    waiting_requests: accounts whose deposit, withdrawal or key change waits for a batch.
    unmirrored_events: read, and not yet in the ledger.
    deficits: used of money that the chain took away again, by account.
    leader: host:process id.
    """

    settlement: str
    chain: ChainFacts | None
    indexed_block: int
    lag_blocks: int | None
    lag_s: int | None
    accounts: int
    frozen_accounts: int
    paused: bool
    batches: int
    last_batch: int | None
    last_tx: str | None
    open_batches: tuple[OpenBatch, ...]
    unsettled_base: int
    unsettleable_base: int
    queue_age_s: int | None
    next_deadline_s: int | None
    waiting_requests: int
    unmirrored_events: int
    deficits: Mapping[int, int]
    leader: str | None
    alerts: tuple[Alert, ...]

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def read_status(settings: BridgeSettings) -> Status:
    """Reads both databases and changes neither, creates neither; asks the node if it answers.

    Raises ConfigError for a database that is not there or is another one, RpcRefused, WrongChain, NoContract,
    StateMismatch.
    """
    require_table("VIBES_BRIDGE_URL", settings.store_url, "deployment")
    require_table("VIBES_LEDGER_URL", settings.ledger_url, "account")
    store = open_store(settings.store_url)
    deployment = store.deployment()
    domain = 0 if deployment is None else settlement_domain(deployment.chain_id, deployment.settlement)
    state = rebuild_state(store, domain)
    try:
        client = ChainClient(settings.rpc_url, settings.timeout_s, settings.chain_id)
        contract = SettlementContract(client, settings.settlement)
        facts = chain_facts(settings, contract, store)
    except RpcUnavailable:
        facts = None
    with Ledger(open_database(settings.ledger_url)) as ledger:
        return status_of(settings, store, state, ledger, facts)


def present_status(
    settings: BridgeSettings,
    contract: SettlementContract,
    store: Store,
    state: ChainState,
    ledger: Ledger,
) -> Status:
    """The status from what a running bridge has open; without the node's part if it does not answer."""
    try:
        facts = chain_facts(settings, contract, store)
    except (RpcRefused, RpcUnavailable):
        facts = None
    return status_of(settings, store, state, ledger, facts)


def chain_facts(settings: BridgeSettings, contract: SettlementContract, store: Store) -> ChainFacts:
    """Asks the node. Raises RpcUnavailable, RpcRefused."""
    client = contract.client
    indexed_block = store.indexed()[0] if store.deployment() else 0
    sizes = {event.args["slots"] for event in store.events_named("VerifierRegistered")}
    sizes |= set(settings.built_sizes())
    head = client.head()
    operator = contract.view("operator")
    verifiers = _verifiers(settings, contract, sizes)
    keys = Keys(operator, contract.view("receiptSigner"), contract.view("guardian"), verifiers)
    head_time = client.block_time(head) or 0
    return ChainFacts(
        chain_id=client.chain_id,
        confirmations=settings.confirmations_on(client.chain_id),
        head_block=head,
        head_time=head_time,
        indexed_time=client.block_time(indexed_block) or head_time,
        operator_wei=client.balance_wei(operator),
        keys=keys,
    )


def status_of(
    settings: BridgeSettings, store: Store, state: ChainState, ledger: Ledger, facts: ChainFacts | None
) -> Status:
    """The status from what is open already."""
    now_s = int(time.time())
    indexed_block = store.indexed()[0] if store.deployment() else 0
    settled = {idx: account.spent for idx, account in state.rollup.accounts.items()}

    def from_ledger(connection: Connection) -> tuple[dict[int, tuple[int, int]], dict[int, int]]:
        unsettled = {
            one.idx: (one.posted_total_base - settled.get(one.idx, 0), one.oldest_time_s)
            for one in read.unsettled(connection, settled)
        }
        return unsettled, read.deficits(connection)

    unsettled, deficits = ledger.read(from_ledger)
    waiting = {idx: one for idx, one in state.requests.items() if _can_be_served(state, idx)}
    since = [one.since for one in waiting.values()]
    since += [oldest_s for _, oldest_s in unsettled.values()]
    deadlines = _deadlines(store, waiting)
    last = store.last_final()
    confirmed = None if facts is None else facts.head_block - facts.confirmations
    return Status(
        settlement=settings.settlement,
        chain=facts,
        indexed_block=indexed_block,
        lag_blocks=None if confirmed is None else max(0, confirmed - indexed_block),
        lag_s=None if facts is None else max(0, facts.head_time - facts.indexed_time),
        accounts=len(state.rollup.accounts),
        frozen_accounts=len(state.frozen),
        paused=state.paused,
        batches=state.batch_number,
        last_batch=last.number if last else None,
        last_tx=last.tx_hash if last else None,
        open_batches=tuple(_open_batch(store, batch, now_s) for batch in store.unfinished()),
        unsettled_base=sum(amount for amount, _ in unsettled.values()),
        unsettleable_base=ledger.read(read.written_off_base),
        queue_age_s=now_s - min(since) if since else None,
        next_deadline_s=min(deadlines) - now_s if deadlines else None,
        waiting_requests=len(waiting),
        unmirrored_events=store.unmirrored_count(),
        deficits=deficits,
        leader=current_leader(store.engine),
        alerts=tuple(store.open_alerts()),
    )


def _can_be_served(state: ChainState, idx: int) -> bool:
    """False for a deposit that its owner takes back, or an account that only such a deposit would open."""
    requests = state.requests[idx]
    if requests.deposit_base > requests.cancelling_base:
        return True
    is_open = idx in state.rollup.accounts
    return is_open and bool(requests.withdrawal_base or requests.key_commit)


def _deadlines(store: Store, waiting: Mapping[int, Requests]) -> list[int]:
    """Unix seconds at which the open withdrawals and key changes may be answered by a freeze."""
    oldest = min((one.since for one in waiting.values()), default=int(time.time()))
    found: dict[tuple[int, str], int] = {}
    for event in store.events_named("WithdrawalRequested", "SessionKeyRequested", since=oldest):
        requests = waiting.get(event.args["idx"], Requests())
        asked = requests.withdrawal_base if event.name == "WithdrawalRequested" else requests.key_commit
        if asked == event.args["amount" if event.name == "WithdrawalRequested" else "keyCommit"]:
            found[event.args["idx"], event.name] = event.args["deadline"]
    return list(found.values())


def _open_batch(store: Store, batch: Batch, now_s: int) -> OpenBatch:
    return OpenBatch(
        number=batch.number,
        step=batch.step,
        accounts=batch.accounts,
        gross_base=batch.header.receipts_total,
        age_s=now_s - batch.sealed_at,
        attempts=len(store.attempts(batch.number)),
        tx_hash=batch.tx_hash,
    )


def _verifiers(
    settings: BridgeSettings, contract: SettlementContract, sizes: set[int]
) -> dict[int, dict[str, str]]:
    found = {}
    for slots in sorted(sizes):
        registered = contract.verifier(slots)
        if registered is None:
            continue
        try:
            built = Artifacts.load(settings.circuits_dir, slots)
        except ArtifactsMissing:
            origin = "not built here"
        else:
            origin = "development" if built.development else "ceremony"
            if (built.circuit_hash, built.key_hash) != registered:
                origin = "another circuit or key is built here"
        found[slots] = {"circuit_hash": registered[0], "key": origin}
    return found
