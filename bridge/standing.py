"""How the bridge stands, in words for people: sections, amounts in VIBES, times in UTC, nothing cut off."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from bridge.status import ChainFacts, OpenBatch, Status
from bridge.times import span
from mini_llm.wallet.money import vibes

WEI_PER_ETHER: Final = 10**18
_NONE: Final = "none"

Rows = Iterable[tuple[str, object]]


def standing(found: Status, wrong: Mapping[str, str]) -> str:
    """The status as text; the last line says whether anything is wrong.

    Args:
        found: the status.
        wrong: what needs attention, by code.
    """
    sections: dict[str, Rows] = {
        "chain": _chain(found),
        "queue": _queue(found),
        "batches": _batches(found),
        "accounts": _accounts(found),
    }
    if found.chain is not None:
        sections["keys"] = _keys(found.chain)
    sections["alerts"] = [
        (alert.code, f"{alert.detail} (since {_time(alert.opened_at)})") for alert in found.alerts
    ]
    lines = [line for title, rows in sections.items() for line in _section(title, rows)]
    health = [f"  {code}: {detail}" for code, detail in wrong.items()]
    return "\n".join([*lines, *(["needs attention:", *health] if health else ["health: good"])])


def _section(title: str, rows: Rows) -> list[str]:
    kept = list(rows)
    if not kept:
        return []
    width = max(len(name) for name, _ in kept)
    return [title, *(f"  {name:<{width}}  {_NONE if value is None else value}" for name, value in kept)]


def _chain(found: Status) -> Iterator[tuple[str, object]]:
    yield "settlement", found.settlement + (" (deposits and batches are PAUSED)" if found.paused else "")
    if found.chain is None:
        yield "node", "does not answer"
    else:
        yield "chain", f"{found.chain.chain_id}, {found.chain.confirmations} confirmations"
        yield "newest block", f"{found.chain.head_block:,} of {_time(found.chain.head_time)}"
    behind = ""
    if found.lag_blocks is not None and found.lag_s is not None:
        behind = f", {found.lag_blocks:,} blocks and {span(found.lag_s)} behind"
    yield "read up to", f"{found.indexed_block:,}{behind}"
    yield "not yet in the ledger", f"{found.unmirrored_events:,} events"
    yield "settling process", found.leader


def _queue(found: Status) -> Iterator[tuple[str, object]]:
    yield "charged, not settled", f"{vibes(found.unsettled_base)} VIBES"
    if found.unsettleable_base:
        yield "never to be settled", f"{vibes(found.unsettleable_base)} VIBES, of accounts that left"
    yield "accounts with requests", f"{found.waiting_requests:,}"
    yield "oldest has waited", None if found.queue_age_s is None else span(found.queue_age_s)
    yield "next deadline in", None if found.next_deadline_s is None else span(found.next_deadline_s)


def _batches(found: Status) -> Iterator[tuple[str, object]]:
    last = "" if found.last_batch is None else f", the last is {found.last_batch:,} in {found.last_tx}"
    yield "final", f"{found.batches:,}{last}"
    for batch in found.open_batches:
        yield f"batch {batch.number:,}", _open(batch)


def _open(batch: OpenBatch) -> str:
    sent = f", {batch.attempts} transactions, the last {batch.tx_hash}" if batch.tx_hash else ""
    content = f"{batch.accounts} accounts, {vibes(batch.gross_base)} VIBES"
    return f"{batch.step} for {span(batch.age_s)}: {content}{sent}"


def _accounts(found: Status) -> Iterator[tuple[str, object]]:
    yield "known", f"{found.accounts:,}, {found.frozen_accounts:,} of them frozen"
    for idx, deficit_base in found.deficits.items():
        yield f"deficit of account {idx}", f"{vibes(deficit_base)} VIBES"


def _keys(chain: ChainFacts) -> Iterator[tuple[str, object]]:
    ether = chain.operator_wei / WEI_PER_ETHER
    yield "operator", f"{chain.keys.operator}, has {ether:.6f} ether for gas"
    yield "receipt signer", chain.keys.receipt_signer
    yield "guardian", chain.keys.guardian
    for slots, key in chain.keys.verifiers.items():
        yield (
            f"verifier of {slots} slots",
            ", ".join(f"{name.replace('_', ' ')} {one}" for name, one in key.items()),
        )


def _time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
