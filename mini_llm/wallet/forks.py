"""Tells of forks what must not be open while the process is copied."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet


class Watched(Protocol):
    """What is told."""

    def before_fork(self) -> None:
        """Closes what may not be copied, and keeps everybody from opening it."""

    def after_fork(self, child: bool) -> None:
        """Goes on in the parent; in the child it stays closed. Also called where ``before_fork`` was not."""


_watched: Final[WeakSet[Watched]] = WeakSet()


def watch(one: Watched) -> None:
    """From now on it is told, as long as it lives."""
    _watched.add(one)


def leave(one: Watched) -> None:
    """It is told no longer."""
    _watched.discard(one)


def _before() -> None:
    for one in list(_watched):
        one.before_fork()


def _after(child: bool) -> None:
    for one in list(_watched):
        one.after_fork(child)


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(
        before=_before, after_in_parent=lambda: _after(child=False), after_in_child=lambda: _after(child=True)
    )
