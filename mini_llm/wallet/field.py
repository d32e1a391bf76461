"""The scalar field of BN254, in which Poseidon, BabyJubJub and the circuits compute.

Source: EIP-197 (curve order).
"""

from typing import Final

P: Final = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Order of BN254's groups: field elements are the integers in ``[0, P)``."""


class NotCanonical(ValueError):
    """A number that should be a field element lies outside ``[0, P)``."""

    def __init__(self, value: int) -> None:
        super().__init__(f"{value} is not a field element: it must lie in [0, p)")
        self.value = value


def is_canonical(value: int) -> bool:
    """True if ``value`` lies in ``[0, P)``."""
    return 0 <= value < P


def require_canonical(value: int) -> int:
    """Return ``value`` if it lies in ``[0, P)``.

    Raises:
        NotCanonical: it does not.
    """
    if not is_canonical(value):
        raise NotCanonical(value)
    return value
