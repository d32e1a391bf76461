"""What the ledger refuses, with the values that explain it (never keys or prompts)."""

from __future__ import annotations

from typing import Final

from mini_llm.errors import CopiedError
from router.ledger.models import Status

_CLOSED: Final = {
    Status.FROZEN: "frozen on chain, its owner can exit with the balance",
    Status.EXITED: "its owner exited",
    Status.DROPPED: "its opening is no longer on chain",
    Status.REASSIGNED: "its index was charged under another owner before the chain was reorganised",
}


class LedgerError(CopiedError):
    """Base of the ledger's refusals; nothing was written. A worker gets them pickled."""


class UnknownAccount(LedgerError):
    """No such account was opened."""

    def __init__(self, idx: int) -> None:
        super().__init__(f"account {idx} is unknown")
        self.idx = idx


class NothingToUndo(LedgerError):
    """The conductor's log has no such decision that is in force."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"{number} {why}")
        self.number = number


class UnknownEntry(LedgerError):
    """No entry has this id."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"entry {entry_id} is unknown")
        self.entry_id = entry_id


class AmountOutOfRange(LedgerError):
    """An amount that no slot of a batch can carry."""

    def __init__(self, name: str, amount_base: int, minimum_base: int, maximum_base: int) -> None:
        super().__init__(f"{name} is {amount_base}, not in {minimum_base} … {maximum_base} base units")
        self.name = name
        self.amount_base = amount_base
        self.minimum_base = minimum_base
        self.maximum_base = maximum_base


class InsufficientFunds(LedgerError):
    """The account's available amount does not cover the quote."""

    def __init__(self, available_base: int, needed_base: int) -> None:
        super().__init__(f"{needed_base} base units needed, {available_base} available")
        self.available_base = available_base
        self.needed_base = needed_base


class BudgetExceeded(LedgerError):
    """A spending limit does not leave room for the quote."""

    def __init__(self, code: str, limit_base: int, left_base: int, needed_base: int) -> None:
        super().__init__(
            f"budget {code} of {limit_base} base units has {left_base} left, {needed_base} needed"
        )
        self.code = code
        self.limit_base = limit_base
        self.left_base = left_base
        self.needed_base = needed_base


class AccountPaused(LedgerError):
    """The account waits for the batch that puts its new session key into the tree."""

    def __init__(self, idx: int) -> None:
        super().__init__(f"account {idx} is paused until its new session key is settled")
        self.idx = idx


class AccountClosed(LedgerError):
    """The account is not served: frozen, exited, or opened in a block that the chain dropped."""

    def __init__(self, idx: int, status: str) -> None:
        super().__init__(f"account {idx} is closed: {_CLOSED.get(status, status)}")
        self.idx = idx
        self.status = status


class AccountInDeficit(LedgerError):
    """The account used money that the chain took away again; the next deposits cover that first."""

    def __init__(self, idx: int, deficit_base: int) -> None:
        super().__init__(
            f"account {idx} used {deficit_base} base units of deposits that are no longer on chain:"
            " deposit that much to go on"
        )
        self.idx = idx
        self.deficit_base = deficit_base


class IdempotencyMismatch(LedgerError):
    """The same key or reference came before with other content."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"entry {entry_id} was opened with other content")
        self.entry_id = entry_id


class InFlight(LedgerError):
    """The first call under this key still runs, or its outcome is unknown until its lease lapses."""

    def __init__(self, entry_id: str) -> None:
        super().__init__(f"entry {entry_id} is in flight")
        self.entry_id = entry_id


class EntryClosed(LedgerError):
    """The entry is no longer pending, so this step came too late."""

    def __init__(self, entry_id: str, state: str) -> None:
        super().__init__(f"entry {entry_id} is {state} already")
        self.entry_id = entry_id
        self.state = state


class UnbalancedEntry(LedgerError):
    """Legs that do not sum to zero."""

    def __init__(self, kind: str, total_base: int) -> None:
        super().__init__(f"the legs of a {kind} entry sum to {total_base} base units, not 0")
        self.kind = kind
        self.total_base = total_base


class InvalidTerms(LedgerError):
    """Shares that are negative or add up to more than the charge."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"shares of a charge: {reason}")
        self.reason = reason


class CeilingRejected(LedgerError):
    """A signed spending ceiling that the ledger does not take."""

    def __init__(self, idx: int, reason: str) -> None:
        super().__init__(f"ceiling of account {idx}: {reason}")
        self.idx = idx
        self.reason = reason


class UnknownKey(LedgerError):
    """No valid API key has this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"no valid API key has the id {key_id!r}")
        self.key_id = key_id


class InvalidGrant(LedgerError):
    """What an API key is to be allowed, or to be called, is out of its range."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class LedgerMismatch(LedgerError):
    """The chain says something that contradicts the ledger."""

    def __init__(self, subject: str, expected: object, actual: object) -> None:
        super().__init__(f"{subject}: ledger has {expected}, chain says {actual}")
        self.subject = subject
        self.expected = expected
        self.actual = actual


class LedgerClosed(LedgerError):
    """The writer was closed; the operation did not run."""

    def __init__(self) -> None:
        super().__init__("the ledger's writer is closed")


class PaymentMismatch(LedgerError):
    """An x402 payment was claimed before, for another endpoint or body."""

    def __init__(self, payment_id: str) -> None:
        super().__init__(f"payment {payment_id} was made for another call")
        self.payment_id = payment_id


class TooManyDeposits(LedgerError):
    """The relay sends no more deposits today: of this wallet (`of_wallet`), or of all that `limit` is for."""

    def __init__(self, limit: int, of_wallet: bool) -> None:
        super().__init__(
            f"{limit} deposits of one wallet are sent in 24 hours, no more"
            if of_wallet
            else f"{limit} deposits were sent in 24 hours, and for now no more are"
        )
        self.limit, self.of_wallet = limit, of_wallet


class TooManyReverts(LedgerError):
    """So many transactions moved nothing that no more are sent for this payer for `wait_s` seconds."""

    def __init__(self, limit: int, wait_s: int) -> None:
        super().__init__(f"{limit} chain transactions like this one were sent for nothing: try again later")
        self.limit, self.wait_s = limit, wait_s


class PaymentNotRefundable(LedgerError):
    """Only a settled x402 payment that bought nothing can be paid back."""

    def __init__(self, payment_id: str, state: str) -> None:
        super().__init__(f"payment {payment_id} is {state}: only a settled, unused one is refunded")
        self.payment_id = payment_id
        self.state = state
