"""Units and limits of the protocol, named once. The circuits and the contracts repeat these numbers.

Source: docs/protocol.md.
"""

from typing import Final

BASE_PER_VIBES: Final = 10**6
"""Base units in one VIBES (6 decimals)."""

BASE_PER_USD: Final = 10**8
"""Base units in one US dollar at par (100 VIBES)."""

TOKEN_CAP_BASE: Final = 10**16
"""Most tokens that can ever exist, base units; below ``2**AMOUNT_BITS``."""

AMOUNT_BITS: Final = 54
"""Width of one amount in a slot."""

BALANCE_BITS: Final = 64
"""Width of a balance, of a cumulative spending and of a ceiling."""

IDX_BITS: Final = 24
"""Width of an account index."""

MAX_AMOUNT_BASE: Final = 2**AMOUNT_BITS - 1
"""Largest amount in a slot, base units."""

MAX_BALANCE_BASE: Final = 2**BALANCE_BITS - 1
"""Largest balance, spending or ceiling, base units."""

MAX_IDX: Final = 2**IDX_BITS - 1
"""Largest account index; index 0 is reserved for padding."""

TREE_ARITY: Final = 8
"""Children of one node of the account tree."""

TREE_LEVELS: Final = 8
"""Levels of the account tree above its leaves: ``TREE_ARITY ** TREE_LEVELS`` accounts."""

BPS: Final = 10_000
"""Basis points in a whole."""
