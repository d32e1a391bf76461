"""What can keep somebody from leaving; every error says what to do about it."""

from __future__ import annotations

from bridge.errors import BridgeError


class NoAccount(BridgeError):
    """The address never opened an account with this contract."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        super().__init__(f"{owner} has no account with this contract")


class OwnerKeyNeeded(BridgeError):
    """Only the owner can make the next step; everybody else can make the later ones."""

    def __init__(self, function: str, owner: str) -> None:
        self.function, self.owner = function, owner
        super().__init__(f"{function} is the owner's to send: give the key file of {owner}")


class KeyNeeded(BridgeError):
    """The next step is a transaction, and there is no key that could pay for it."""

    def __init__(self, function: str) -> None:
        self.function = function
        super().__init__(f"{function} is to be sent: give --key-file of any account that can pay the gas")


class BatchUnreadable(BridgeError):
    """The node does not have a batch's calldata, or not the true one. Try another node."""

    def __init__(self, number: int, reason: str) -> None:
        self.number, self.reason = number, reason
        super().__init__(f"batch {number} cannot be read from this node: {reason}")


class RootDiffers(BridgeError):
    """The tree rebuilt from calldata is not the contract's: the node left something out. Try another node."""

    def __init__(self, expected: int, actual: int) -> None:
        self.expected, self.actual = expected, actual
        super().__init__(f"the rebuilt tree has root {actual}, the contract says {expected}")


class OtherCircuit(BridgeError):
    """The exit circuit at hand is not the one that the contract verifies with."""

    def __init__(self, verifier: str, directory: str) -> None:
        self.verifier, self.directory = verifier, directory
        super().__init__(
            f"the exit circuit in {directory} has another key than the contract's verifier {verifier}"
        )


class NotMined(BridgeError):
    """A transaction was sent and is in no block yet; run the command again later, nothing is done twice."""

    def __init__(self, tx_hash: str) -> None:
        self.tx_hash = tx_hash
        super().__init__(f"transaction {tx_hash} is not mined yet; run this again later")


class Reverted(BridgeError):
    """A transaction was mined but reverted: the account changed in between. Run the command again."""

    def __init__(self, function: str, tx_hash: str) -> None:
        self.function, self.tx_hash = function, tx_hash
        super().__init__(f"{function} in {tx_hash} reverted: the account has changed, run this again")
