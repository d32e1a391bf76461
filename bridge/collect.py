"""Nets the ledger and the open requests into the next batch: at most one slot per account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from bridge.choose import Candidate, choose
from bridge.errors import LedgerBehindChain, ReceiptsMismatch
from bridge.rewards import Payable
from bridge.rollup.batch import Slot, encode_partner_word
from bridge.rollup.transition import UNUSED, AccountState, Authorisation
from bridge.state import BatchHeader, ChainState, Requests, Terms
from bridge.tables import Batch, BatchStep
from mini_llm.wallet.receipts_tree import receipts_tree
from router.ledger import read
from router.ledger.leaves import ReceiptLeaf, leaves_between


def collect(
    state: ChainState,
    ledger: Connection,
    sizes: Sequence[int],
    terms: Terms,
    only_full: bool = False,
) -> Batch | None:
    """The next batch, checked in full and ready to seal; None if there is nothing to settle.

    state: the chain's, which the ledger has mirrored, after the sealed batches that the new one follows.
    ledger: one read transaction, so that totals, reservations and receipts belong together. sizes: batches
    that can be proved and settled. terms: the contract's. only_full: None also if more would fit: it costs
    nothing to wait then.

    Raises LedgerBehindChain, ReceiptsMismatch, InvalidTransition.
    """
    choice = choose(candidates(state, ledger, terms), sizes)
    if choice is None or (only_full and not choice.full):
        return None
    slots, size = choice.slots, choice.size
    receipts = [
        receipt for slot in slots for receipt in slot_receipts(ledger, slot, account(state, slot.idx))
    ]
    receipts_root, receipts_total = receipts_tree([receipt.leaf for receipt in receipts])
    witness = state.rollup.copy().prove_inputs(
        state.batch_number + 1, slots, authorisations(ledger, slots), size
    )
    return Batch(
        number=state.batch_number + 1,
        step=BatchStep.SEALED,
        size=size,
        header=BatchHeader(
            old_root=witness.old_root,
            new_root=witness.new_root,
            commitment=witness.public[0],
            receipts_root="0x" + receipts_root.hex(),
            receipts_total=receipts_total,
        ),
        words=witness.words[3:],
        partner_words=partner_words(receipts),
        witness=witness.circuit_inputs,
    )


def candidates(state: ChainState, ledger: Connection, terms: Terms) -> Iterable[Candidate]:
    """Every account that has unsettled charges, a reward or open requests that can be served now.

    Frozen accounts are left out, charges whose deposit the chain has dropped, and charges from the first on
    that is of a partner whom the registry does not have (yet).
    """
    payable = Payable(state, ledger, terms.pool_bps)
    settled = {idx: one.spent for idx, one in state.rollup.accounts.items()}
    unsettled = {one.idx: one for one in read.unsettled(ledger, settled)}
    for idx in sorted((unsettled.keys() | state.requests.keys() | payable.alone()) - state.frozen):
        requests = state.requests.get(idx, Requests())
        slot = next_slot(ledger, idx, account(state, idx), requests, terms.partners, payable)
        if slot is None:
            continue
        times = [requests.since] if requests else []
        times += [unsettled[idx].oldest_time_s] if idx in unsettled else []
        times += [payable.since(idx)] if slot.reward else []
        yield Candidate(slot, min(times))


def next_slot(
    ledger: Connection,
    idx: int,
    before: AccountState,
    requests: Requests,
    partners: int,
    payable: Payable,
) -> Slot | None:
    """The account's slot, None if nothing can be settled for it now.

    A key change and a draining withdrawal wait until no call of the account is running: its charge must still
    be covered by the old key's ceiling and by the balance. The ledger admits no new call meanwhile.
    """
    view = read.account_view(ledger, idx)
    charge = view.billable_base - before.spent
    if charge < 0:
        raise LedgerBehindChain(idx, before.spent, view.spent_base)
    covered = min(before.balance + requests.deposit_base, view.ceiling_base - before.spent)
    owing = charge > covered  # a reorganisation took a deposit that was spent: see `read.deficits`
    if owing:
        charge = read.chargeable_base(ledger, idx, before.spent, max(0, covered))
    known_base = read.charges_of_known_partners_base(ledger, idx, before.spent, partners)
    if known_base is not None and known_base < charge:
        charge, owing = known_base, True
    idle = view.reserved_base == 0 and not owing
    fresh = before.key_commit == 0
    key_commit = requests.key_commit if fresh or idle else 0
    if fresh and not key_commit:
        return None
    deposit = countable_deposit(requests, charge - before.balance)
    reward = payable.take(idx, before, charge)
    balance = before.balance + deposit + reward - charge
    withdraw, drain = 0, False
    if requests.withdrawal_base and not owing:
        if requests.withdrawal_base <= balance - view.reserved_base:
            withdraw = requests.withdrawal_base
        elif idle:
            withdraw, drain = balance, True
    opens_nothing = fresh and not (charge or deposit)
    if opens_nothing or not (charge or reward or deposit or withdraw or drain or key_commit):
        return None
    return Slot(
        idx,
        charge=charge,
        reward=reward,
        deposit=deposit,
        withdraw=withdraw,
        drain=drain,
        key_commit=key_commit,
    )


def countable_deposit(requests: Requests, missing_base: int) -> int:
    """What a batch consumes of an account's pending deposit, base units.

    All of it but the part whose cancellation was announced; of that only what charges need that were made on
    the strength of it. missing_base: charges that the balance does not cover, negative if it does.
    """
    cancelling_base = min(requests.cancelling_base, requests.deposit_base)
    free_base = requests.deposit_base - cancelling_base
    return free_base + min(cancelling_base, max(0, missing_base - free_base))


def slot_receipts(ledger: Connection, slot: Slot, before: AccountState) -> list[ReceiptLeaf]:
    """The receipts behind a slot's charge, by sequence. Raises ReceiptsMismatch if they are not all there."""
    if slot.charge == 0:
        return []
    most = slot.charge  # each receipt charges a base unit at least
    receipts = leaves_between(ledger, slot.idx, before.spent, before.spent + slot.charge, most)
    total_base = sum(receipt.charge_base for receipt in receipts)
    if total_base != slot.charge:
        raise ReceiptsMismatch(slot.idx, slot.charge, total_base)
    return receipts


def authorisations(ledger: Connection, slots: Iterable[Slot]) -> dict[int, Authorisation]:
    """The signed ceilings of the accounts that are charged."""
    ceilings = {slot.idx: read.ceiling(ledger, slot.idx) for slot in slots if slot.charge}
    return {
        idx: Authorisation(signed.ceiling_base, signed.key, signed.signature)
        for idx, signed in ceilings.items()
        if signed is not None
    }


def partner_words(receipts: Iterable[ReceiptLeaf]) -> tuple[int, ...]:
    """Gross by partner, as the contract takes it: ids rising, none without a gross."""
    gross: Counter[int] = Counter()
    for receipt in receipts:
        gross[receipt.partner_id] += receipt.charge_base
    return tuple(encode_partner_word(partner, gross[partner]) for partner in sorted(gross))


def account(state: ChainState, idx: int) -> AccountState:
    """The account in the tree."""
    return state.rollup.accounts.get(idx, UNUSED)
