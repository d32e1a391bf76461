"""How far a long command is, shown on a terminal and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import TaskID

Progress = Callable[[str, int, int], None]
"""Called with a stage's name, steps done and steps in all."""


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Bars on stderr, one per stage, if that is a terminal; else nothing."""
    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield advance
