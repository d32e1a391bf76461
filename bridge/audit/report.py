"""The audit's outcome, as one JSON object and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bridge.audit.bundles import Bundles
from bridge.audit.chain import Facts
from bridge.audit.checks import CHECKS, Mismatch, Tally
from bridge.audit.money import Partner
from bridge.audit.receipts import Receipts
from bridge.audit.replay import Replay
from bridge.audit.views import liabilities, totals
from bridge.chain import Status
from bridge.errors import printable
from mini_llm.wallet.money import vibes


@dataclass
class Outcome:
    """How far the audit came and what it found.

    Args:
        facts: the audited contract.
        head: the audited block.
        tally: what held.
        without: checks that could not be made with what there was to audit.
        replay: the chain's side, None if it does not replay.
        receipts: the receipts' side, None if not reached or not all hold.
        bundles: what a partner's proof bundles prove, None as for the receipts.
        mismatch: the first thing that does not hold, None if all does.
        held_base: tokens that the contract holds, base units.
        delay_s: seconds that the owner waits before anything that it does, None if the chain does not replay.
    """

    facts: Facts
    head: int
    tally: Tally
    without: frozenset[str] = frozenset()
    replay: Replay | None = None
    receipts: Receipts | None = None
    bundles: Bundles | None = None
    mismatch: Mismatch | None = None
    held_base: int = 0
    delay_s: int | None = None

    @property
    def ok(self) -> bool:
        """True if every check holds that could be made."""
        return self.mismatch is None


def as_json(outcome: Outcome, partner_name: str | None) -> dict[str, Any]:
    """One object: ok, checks, first_mismatch, batches, receipts, partners, totals; amounts in base units.

    A check's `ok` is null if the audit stopped before it was reached, or had nothing to make it with.
    """
    facts, replay = outcome.facts, outcome.replay
    return {
        "ok": outcome.ok,
        "chain_id": facts.chain_id,
        "settlement": facts.settlement,
        "block": outcome.head,
        "checks": [
            {"name": name, "ok": _held(outcome, name), "count": outcome.tally.counts[name]} for name in CHECKS
        ],
        "first_mismatch": _mismatch(outcome.mismatch) if outcome.mismatch else None,
        "batches": _batches(replay) if replay else [],
        "verifiers": _verifiers(replay) if replay else [],
        "roles": _roles(outcome),
        "accounts": _accounts(replay) if replay else None,
        "receipts": _receipts(outcome.receipts) if outcome.receipts else None,
        "bundles": asdict(outcome.bundles) if outcome.bundles else None,
        "partners": [_partner(*entry) for entry in _selected(replay, partner_name)] if replay else [],
        "totals": {**totals(replay), "liabilities": liabilities(replay), "held": outcome.held_base}
        if replay
        else None,
    }


def as_text(outcome: Outcome, partner_name: str | None) -> str:
    """A table of checks, batches, partners and totals; the last line is the verdict."""
    facts, replay = outcome.facts, outcome.replay
    lines = [f"settlement {facts.settlement} on chain {facts.chain_id}, up to block {outcome.head}", ""]
    lines += _table(["check", "holds", "count", "meaning"], _check_rows(outcome), "<<><")
    if replay:
        lines += [
            "",
            *_table(
                ["batch", "block", "size", "accounts", "gross", "rewards", "burned"], _batch_rows(replay)
            ),
        ]
        lines += ["", *_roles_lines(outcome)]
        for verifier in (replay.exit_verifier, *replay.verifiers.values()):
            of = f"{verifier.slots} slots" if verifier.slots else "exits"
            kind = "DEVELOPMENT keys: proofs can be forged" if verifier.development else "ceremony keys"
            lines.append(f"verifier of {of}: {kind}, circuit {verifier.circuit_hash}")
        header = ["id", "partner", "gross", "share", "earned", "paid", "claimable"]
        lines += ["", *_table(header, _partner_rows(replay, partner_name), "><>>>>>")]
        if partner_name is not None:
            lines += [
                "",
                *_table(
                    ["batch", "block", "gross", "share", "earned"], _partner_batch_rows(replay, partner_name)
                ),
            ]
    if outcome.ok:
        lines += ["", *_totals_lines(outcome)]
    lines += ["", *_verdict(outcome)]
    return "\n".join(map(printable, lines))


def _held(outcome: Outcome, name: str) -> bool | None:
    if outcome.mismatch is not None and outcome.mismatch.check == name:
        return False
    reached = outcome.ok and name not in outcome.without
    return True if reached or outcome.tally.counts[name] else None


def _mismatch(found: Mismatch) -> dict[str, Any]:
    return {
        "check": found.check,
        "block": found.place.block,
        "batch": found.place.batch,
        "subject": found.place.subject,
        "expected": _plain(found.expected),
        "actual": _plain(found.actual),
        "evidence": list(found.evidence),
    }


def _plain(value: object) -> object:
    """Big numbers as decimal text: JSON readers lose digits above 2^53."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _batches(replay: Replay) -> list[dict[str, Any]]:
    return [
        {
            "number": batch.number, "block": batch.block, "transaction": batch.tx_hash, "slots": batch.size,
            "accounts": len(batch.slots), "gross": batch.gross_base, "rewards": batch.rewards_base,
            "burned": batch.burned_base, "receipts_root": "0x" + batch.receipts_root.hex(),
            "partners": {str(partner): gross for partner, gross in batch.partner_gross_base.items()},
        }
        for batch in replay.batches
    ]  # fmt: skip


def _verifiers(replay: Replay) -> list[dict[str, Any]]:
    return [
        {
            "slots": key.slots,
            "address": key.address,
            "circuit_hash": key.circuit_hash,
            "development": key.development,
        }
        for key in (replay.exit_verifier, *replay.verifiers.values())
    ]


def _roles(outcome: Outcome) -> dict[str, Any]:
    """Who may do what now, and how long the owner waits before it does anything."""
    facts = outcome.facts
    return {
        "owner": facts.owner, "delay_s": outcome.delay_s,
        "leaving_s": facts.leaving_s, "guardian": facts.guardian,
        "operator": facts.operator, "receipt_signer": facts.receipt_signer, "treasury": facts.treasury,
        "paused": facts.paused,
    }  # fmt: skip


def _roles_lines(outcome: Outcome) -> list[str]:
    roles = _roles(outcome)
    owner, delay_s, leaving_s = (roles.pop(name) for name in ("owner", "delay_s", "leaving_s"))
    paused = "; deposits and batches are PAUSED" if roles.pop("paused") else ""
    return [
        f"owner {owner}, a timelock of {delay_s:,} s (leaving takes at most {leaving_s:,} s){paused}",
        ", ".join(f"{name.replace('_', ' ')} {address}" for name, address in roles.items()),
    ]


def _accounts(replay: Replay) -> dict[str, int]:
    """Number of accounts by status."""
    found = Counter(record.status for record in replay.accounts.records.values())
    return {status.name.lower(): found[status] for status in Status if status is not Status.NONE}


def _receipts(receipts: Receipts) -> dict[str, int]:
    return {
        "count": receipts.count, "settled": receipts.settled, "settled_base": receipts.settled_base,
        "not_yet_settled": receipts.unsettled, "not_yet_settled_base": receipts.unsettled_base,
    }  # fmt: skip


def _selected(replay: Replay, name: str | None) -> list[tuple[int, Partner]]:
    partners = sorted(replay.money.partners.items())
    return [(key, partner) for key, partner in partners if name is None or partner.name == name]


def _partner(partner_id: int, partner: Partner) -> dict[str, Any]:
    return {
        "id": partner_id, "name": partner.name, "payout": partner.payout, "bps": partner.applied_bps,
        "gross": partner.gross_base, "earned": partner.earned_base, "paid": partner.paid_base,
        "claimable": partner.claimable_base,
        "batches": [
            {"number": batch.number, "block": batch.block, "gross": batch.gross_base, "bps": batch.bps,
             "share": batch.share_base}
            for batch in partner.batches
        ],
    }  # fmt: skip


def _check_rows(outcome: Outcome) -> Iterable[list[str]]:
    words = {True: "yes", False: "NO", None: "-"}
    for name, meaning in CHECKS.items():
        yield [name, words[_held(outcome, name)], f"{outcome.tally.counts[name]:,}", meaning]


def _batch_rows(replay: Replay) -> Iterable[list[str]]:
    for batch in replay.batches:
        amounts = (batch.gross_base, batch.rewards_base, batch.burned_base)
        counts = (batch.number, batch.block, batch.size, len(batch.slots))
        yield [*map(str, counts), *map(vibes, amounts)]


def _partner_rows(replay: Replay, name: str | None) -> Iterable[list[str]]:
    for partner_id, partner in _selected(replay, name):
        amounts = (partner.earned_base, partner.paid_base, partner.claimable_base)
        share = f"{partner.applied_bps} bps"
        yield [str(partner_id), partner.name, vibes(partner.gross_base), share, *map(vibes, amounts)]


def _partner_batch_rows(replay: Replay, name: str) -> Iterable[list[str]]:
    for _, partner in _selected(replay, name):
        for batch in partner.batches:
            amounts = vibes(batch.gross_base), f"{batch.bps} bps", vibes(batch.share_base)
            yield [str(batch.number), str(batch.block), *amounts]


def _totals_lines(outcome: Outcome) -> list[str]:
    replay, receipts, bundles = outcome.replay, outcome.receipts, outcome.bundles
    if replay is None:
        return []
    sums, owed_base = totals(replay), sum(liabilities(replay).values())
    names = ("gross", "burned", "partners", "fee", "pool", "treasury", "rewards")
    lines = [
        "totals in VIBES: " + ", ".join(f"{name} {vibes(sums[name])}" for name in names),
        f"held {vibes(outcome.held_base)}, owed {vibes(owed_base)}",
    ]
    if receipts is not None:
        lines.append(
            f"receipts: {receipts.settled:,} settled ({vibes(receipts.settled_base)}), "
            f"{receipts.unsettled:,} not yet settled ({vibes(receipts.unsettled_base)})"
        )
    if bundles is not None:
        lines.append(f"bundles: {bundles.receipts:,} receipts of the partner ({vibes(bundles.charged_base)})")
    return lines


def _verdict(outcome: Outcome) -> list[str]:
    found = outcome.mismatch
    if found is None:
        return [*_not_checked(outcome), "audit: OK"]
    rows = {
        "block": found.place.block, "batch": found.place.batch, "where": found.place.subject or None,
        "expected": found.expected, "actual": found.actual,
    }  # fmt: skip
    lines = [f"audit: MISMATCH in {found.check}"]
    lines += [f"  {name:<9}{'-' if value is None else value}" for name, value in rows.items()]
    return lines + [f"  evidence {document}" for document in found.evidence]


def _not_checked(outcome: Outcome) -> list[str]:
    if not outcome.without:
        return []
    return [f"not checked: {', '.join(name for name in CHECKS if name in outcome.without)}"]


def _table(header: list[str], rows: Iterable[list[str]], align: str = "") -> list[str]:
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    align = align or ">" * len(header)
    return [
        "  ".join(f"{c:{a}{w}}" for c, a, w in zip(row, align, widths, strict=True)).rstrip() for row in cells
    ]
