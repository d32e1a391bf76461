"""Random bytes for ids and salts, from the system, many at a time.

A system call for each of them gives up the interpreter's lock, and waits for another thread to give it back.
"""

from __future__ import annotations

import os
import secrets
import threading
from typing import Final

_BLOCK_BYTES: Final = 4096


class _Unused(threading.local):
    """What a thread has left of the bytes that it got last."""

    block = b""
    start = 0


_unused: Final = _Unused()
os.register_at_fork(after_in_child=_unused.__dict__.clear)  # a child must not draw what its parent draws


def random_bytes(count: int) -> bytes:
    """`count` bytes (at most 4096) that nobody can guess and nobody else gets."""
    start = _unused.start
    end = start + count
    if end > len(_unused.block):
        _unused.block, start, end = secrets.token_bytes(_BLOCK_BYTES), 0, count
    _unused.start = end
    return _unused.block[start:end]
