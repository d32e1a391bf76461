"""What can be wrong with a slot, a batch or a transition; every error keeps the values that show it."""


class InvalidTransition(ValueError):
    """A batch that breaks a rule of the rollup; nothing of it was applied."""


class SlotFieldOutOfRange(InvalidTransition):
    """A slot field is negative or wider than its bits."""

    def __init__(self, idx: int, field: str, value: int) -> None:
        super().__init__(f"slot of account {idx}: {field} = {value} is out of range")
        self.idx, self.field, self.value = idx, field, value


class NonCanonicalWord(InvalidTransition):
    """A calldata word that no slot (or partner entry) encodes to."""

    def __init__(self, word: int) -> None:
        super().__init__(f"word {word:#x} is not canonical")
        self.word = word


class PartnerOutOfRange(InvalidTransition):
    """A partner id or a partner's gross that does not fit its word."""

    def __init__(self, partner_id: int, gross_base: int) -> None:
        super().__init__(f"partner {partner_id} with {gross_base} base units does not fit a word")
        self.partner_id, self.gross_base = partner_id, gross_base


class TooManySlots(InvalidTransition):
    """More slots than the batch size."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__(f"{count} slots do not fit a batch of {size}")
        self.count, self.size = count, size


class TooManyRegions(InvalidTransition):
    """The slots lie in more regions of the tree than the batch size has paths for."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"slots in {count} regions do not fit a batch with paths for {limit}")
        self.count, self.limit = count, limit


class SlotsOutOfOrder(InvalidTransition):
    """Slot indices must rise strictly: one slot per account and batch."""

    def __init__(self, previous_idx: int, idx: int) -> None:
        super().__init__(f"slot of account {idx} follows account {previous_idx}: indices must rise")
        self.previous_idx, self.idx = previous_idx, idx


class AccountNotOpened(InvalidTransition):
    """An unused account becomes used only by a slot that sets its key commitment."""

    def __init__(self, idx: int) -> None:
        super().__init__(f"account {idx} is unused and its slot sets no key")
        self.idx = idx


class BalanceTooLow(InvalidTransition):
    """A slot takes more than the account has."""

    def __init__(self, idx: int, available_base: int, needed_base: int) -> None:
        super().__init__(f"account {idx} has {available_base} base units, its slot takes {needed_base}")
        self.idx, self.available_base, self.needed_base = idx, available_base, needed_base


class BalanceTooHigh(InvalidTransition):
    """A balance would reach 2^64."""

    def __init__(self, idx: int, balance_base: int) -> None:
        super().__init__(f"account {idx} would have {balance_base} base units")
        self.idx, self.balance_base = idx, balance_base


class SpentTooHigh(InvalidTransition):
    """A cumulative spending would reach 2^64."""

    def __init__(self, idx: int, spent_base: int) -> None:
        super().__init__(f"account {idx} would have spent {spent_base} base units")
        self.idx, self.spent_base = idx, spent_base


class NotDrained(InvalidTransition):
    """A draining slot must leave nothing."""

    def __init__(self, idx: int, remaining_base: int) -> None:
        super().__init__(f"account {idx} is to be drained but keeps {remaining_base} base units")
        self.idx, self.remaining_base = idx, remaining_base


class MissingAuthorisation(InvalidTransition):
    """A charge needs a signed ceiling."""

    def __init__(self, idx: int) -> None:
        super().__init__(f"account {idx} is charged without a signed ceiling")
        self.idx = idx


class InvalidKey(InvalidTransition):
    """A session key that is off the curve or of small order."""

    def __init__(self, idx: int) -> None:
        super().__init__(f"the session key for account {idx} is off the curve or of small order")
        self.idx = idx


class WrongKey(InvalidTransition):
    """The session key does not open the account's commitment."""

    def __init__(self, idx: int, expected_commitment: int, actual_commitment: int) -> None:
        super().__init__(f"account {idx}: key commitment {actual_commitment}, expected {expected_commitment}")
        self.idx = idx
        self.expected_commitment, self.actual_commitment = expected_commitment, actual_commitment


class CeilingTooHigh(InvalidTransition):
    """A ceiling outside ``[0, 2^64)``."""

    def __init__(self, idx: int, ceiling_base: int) -> None:
        super().__init__(f"account {idx}: a ceiling of {ceiling_base} base units is out of range")
        self.idx, self.ceiling_base = idx, ceiling_base


class CeilingExceeded(InvalidTransition):
    """Cumulative spending would pass what the session key signed."""

    def __init__(self, idx: int, ceiling_base: int, spent_base: int) -> None:
        super().__init__(
            f"account {idx} would have spent {spent_base} base units, its ceiling is {ceiling_base}"
        )
        self.idx, self.ceiling_base, self.spent_base = idx, ceiling_base, spent_base


class InvalidCeilingSignature(InvalidTransition):
    """The signature does not cover this ceiling, account and settlement."""

    def __init__(self, idx: int, ceiling_base: int) -> None:
        super().__init__(
            f"account {idx}: the signature over a ceiling of {ceiling_base} base units does not hold"
        )
        self.idx, self.ceiling_base = idx, ceiling_base


class NothingToExit(ValueError):
    """The tree does not hold the account that is to leave: it was never used, or its numbers are others."""

    def __init__(self, idx: int, leaf: int) -> None:
        super().__init__(f"the tree does not hold this account {idx}: its leaf there is {leaf}")
        self.idx, self.leaf = idx, leaf
