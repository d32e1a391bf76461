"""The settlement chain: a client that fails in typed ways, and the contract on it."""

from enum import IntEnum


class Status(IntEnum):
    """`ISettlement.Status`."""

    NONE = 0
    UNOPENED = 1
    OPEN = 2
    FROZEN = 3
    EXITED = 4
