"""Why a deposit is not sent for a wallet; nothing moved, unless it says so."""

from __future__ import annotations

from router.errors import GatewayError


class RelayError(GatewayError):
    """Base."""


class RelayOff(RelayError):
    """The operator pays for nobody's gas."""

    def __init__(self) -> None:
        super().__init__("deposits are not sent from here: approve and deposit from your wallet")


class RelayUnavailable(RelayError):
    """The chain cannot be asked now, or asks for more gas than the operator pays."""

    def __init__(self) -> None:
        super().__init__(
            "the chain cannot be reached, or is too dear just now: try again, or deposit from your wallet"
        )


class DepositRefused(RelayError):
    """The signed deposit would not be taken.

    Attributes:
        code: a word for programs.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
