"""Typed errors of the bridge: each keeps the values that explain it and none keeps a key."""

from __future__ import annotations

import time
from pathlib import Path


def printable(text: str) -> str:
    """What a node or a router said, without the controls by which it could take a terminal over."""
    return "".join(letter for letter in text if letter.isprintable())


class BridgeError(Exception):
    """Anything that stops a bridge step; the command line prints it and exits 1."""

    def __str__(self) -> str:
        return printable(super().__str__())


class RpcUnavailable(BridgeError):
    """The node did not answer in time; nothing was changed and the step can be run again."""

    def __init__(self, method: str, reason: str) -> None:
        self.method, self.reason = method, reason
        super().__init__(f"the RPC node did not answer {method}: {reason}")


class RpcRefused(BridgeError):
    """The node answered a call with an error of its own."""

    def __init__(self, method: str, code: int | None, message: str) -> None:
        self.method, self.code, self.message = method, code, message
        super().__init__(f"the RPC node refused {method}: {message} (code {code})")


class ContractReverted(BridgeError):
    """A contract call reverted; `error` is the custom error's name and `args` its values in ABI order."""

    def __init__(self, call: str, error: str, values: tuple[object, ...] = ()) -> None:
        self.call, self.error, self.values = call, error, values
        shown = ", ".join(str(value) for value in values)
        super().__init__(f"{call} reverts with {error}({shown})")


class NoContract(BridgeError):
    """There is no code at the configured settlement address."""

    def __init__(self, address: str, chain_id: int) -> None:
        self.address, self.chain_id = address, chain_id
        super().__init__(f"no contract at {address} on chain {chain_id}")


class WrongDomain(BridgeError):
    """The contract's signing domain is not the one of this chain id and address."""

    def __init__(self, expected: int, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(f"settlement domain is {actual}, expected {expected} for this chain id and address")


class WrongChain(BridgeError):
    """The node serves another chain than the configured one."""

    def __init__(self, expected: int, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(f"the RPC node serves chain {actual}, expected chain {expected}")


class WrongStore(BridgeError):
    """The bridge store belongs to another deployment."""

    def __init__(self, expected: str, actual: str) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(f"the bridge store belongs to {actual}, the settings name {expected}")


class StoreRewound(BridgeError):
    """Events were taken back while they were read; reading them again gives what stands."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(
            f"a reorganisation was taken back while events behind {position} were read: run again"
        )


class ReorgDetected(BridgeError):
    """A block that was already indexed is no longer in the chain."""

    def __init__(self, block_number: int, expected: str, actual: str | None) -> None:
        self.block_number, self.expected, self.actual = block_number, expected, actual
        super().__init__(f"block {block_number} was {expected} when indexed and is {actual or 'gone'} now")


class StateMismatch(BridgeError):
    """A root that was rebuilt from calldata is not the one that the chain holds."""

    def __init__(self, batch_number: int, expected: int, actual: int) -> None:
        self.batch_number, self.expected, self.actual = batch_number, expected, actual
        super().__init__(f"batch {batch_number}: the chain's root is {expected}, rebuilt root is {actual}")


class UnexpectedEvent(BridgeError):
    """An event that no sequence of contract calls can emit: the node lies or the ABI is another one's."""

    def __init__(self, reference: str, problem: str) -> None:
        self.reference, self.problem = reference, problem
        super().__init__(f"event {reference}: {problem}")


class ReceiptsMismatch(BridgeError):
    """The ledger's receipts of an account do not add up to what the batch would charge."""

    def __init__(self, idx: int, expected_base: int, actual_base: int) -> None:
        self.idx, self.expected_base, self.actual_base = idx, expected_base, actual_base
        super().__init__(f"account {idx}: charges of {expected_base} base units, receipts for {actual_base}")


class LedgerBehindChain(BridgeError):
    """The chain settled more for an account than the ledger posted: a wrong or damaged ledger."""

    def __init__(self, idx: int, settled_base: int, posted_base: int) -> None:
        self.idx, self.settled_base, self.posted_base = idx, settled_base, posted_base
        super().__init__(f"account {idx}: settled {settled_base} base units, the ledger posted {posted_base}")


class VerifierMismatch(BridgeError):
    """The registered verifier and the prover's artefacts of one batch size differ in circuit or key."""

    def __init__(self, slots: int, what: str, expected: str, actual: str) -> None:
        self.slots, self.what, self.expected, self.actual = slots, what, expected, actual
        super().__init__(
            f"the registered verifier for {slots} slots has {what} {actual}, the prover's is {expected}"
        )


class NoBatchSize(BridgeError):
    """No batch size has both a registered verifier and proving artifacts; provable: sizes that have these."""

    def __init__(self, provable: tuple[int, ...], circuits: Path) -> None:
        self.provable = provable
        sizes = ", ".join(map(str, provable))
        super().__init__(
            f"{circuits} has circuits for batches of {sizes} slots, the contract no verifier for those"
            if provable
            else f"{circuits} has no circuits of batches: `make setup` builds them; see VIBES_CIRCUITS_DIR"
        )


class NotOperator(BridgeError):
    """The operator key is not the one that the contract lets settle."""

    def __init__(self, expected: str, actual: str) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(f"the contract's operator is {expected}, the configured key is of {actual}")


class BatchTaken(BridgeError):
    """Another process sealed the batch number first; running again continues with that batch."""

    def __init__(self, batch_number: int) -> None:
        self.batch_number = batch_number
        super().__init__(f"batch {batch_number} was sealed by another process meanwhile: run again")


class SettlementFailed(BridgeError):
    """A batch's transaction was mined and reverted; running again says why, or sends it anew."""

    def __init__(self, batch_number: int, tx_hash: str) -> None:
        self.batch_number, self.tx_hash = batch_number, tx_hash
        super().__init__(f"batch {batch_number}: transaction {tx_hash} reverted on chain")


class NotLeader(BridgeError):
    """Another process settles from this store; the command line exits 5."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(f"{holder} settles from this store already")


class LeadershipLost(BridgeError):
    """The lock that made this process the leader is gone: it must not act any more."""

    def __init__(self, holder: str) -> None:
        self.holder = holder
        super().__init__(f"{holder} lost the leader's lock and stops")


class FalseReceipt(BridgeError):
    """The node's receipt of a transaction contradicts the chain: the node lies or is broken."""

    def __init__(self, tx_hash: str, part: str, expected: object, actual: object) -> None:
        self.tx_hash, self.part, self.expected, self.actual = tx_hash, part, expected, actual
        super().__init__(f"receipt of {tx_hash}: {part} is {actual}, expected {expected}")


class FalseLog(BridgeError):
    """The node showed a log that its transaction does not have: the node lies or is broken."""

    def __init__(self, reference: str, claimed: str) -> None:
        self.reference, self.claimed = reference, claimed
        super().__init__(f"event {reference}: its transaction has no log {claimed}")


class FalseState(BridgeError):
    """Logs and the contract's storage differ: logs were made up or withheld by a lying or broken node."""

    def __init__(self, part: str, stored: int, told: int) -> None:
        self.part, self.stored, self.told = part, stored, told
        super().__init__(f"{part}: {stored} in the contract's storage, {told} by the node's logs")


class SettlementPaused(BridgeError):
    """The contract takes no batches; the command line exits 6. Nothing was sent.

    guardian: who can let it go on. block_number, since_s: block and unix seconds of the pause, None if its
    block was not read yet.
    """

    def __init__(self, guardian: str, block_number: int | None = None, since_s: int | None = None) -> None:
        self.guardian, self.block_number, self.since_s = guardian, block_number, since_s
        at = "" if since_s is None else f" at {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(since_s))} UTC"
        block = " just now" if block_number is None else f" in block {block_number}"
        super().__init__(
            f"the contract was paused{block}{at} and takes no batches: run this again when its guardian "
            f"{guardian} has called unpause()"
        )


class SettlementTimeout(BridgeError):
    """A sent batch was not mined or confirmed in time; running again continues with the same transaction."""

    def __init__(self, batch_number: int, tx_hash: str, waited_s: int) -> None:
        self.batch_number, self.tx_hash, self.waited_s = batch_number, tx_hash, waited_s
        super().__init__(f"batch {batch_number} ({tx_hash}) is not confirmed after {waited_s} s")


class NotACheckout(BridgeError):
    """A command that needs the project's scripts was called outside a checkout."""

    def __init__(self, looked_in: str) -> None:
        self.looked_in = looked_in
        super().__init__(f"no scripts/up.py in or above {looked_in}: run this in a checkout of the project")
