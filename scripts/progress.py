"""Says what is going on: a spinner and bars on a terminal, one line a step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

PLAIN_WIDTH = 100


class Reporter:
    """Reports steps on stderr, so that stdout holds results only."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._started = time.monotonic()

    def elapsed_s(self) -> float:
        """Seconds since this reporter was made."""
        return time.monotonic() - self._started

    def say(self, line: str) -> None:
        """Prints one line as it is."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """Shows a step while the block runs; calling what it yields counts one of ``total`` done."""
        if not self.console.is_terminal:
            self.say(f"[{self.elapsed_s():5.1f} s] {title}")
            yield lambda: None
            return
        columns = [SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}")]
        columns += [BarColumn(), MofNCompleteColumn()] if total else []
        with Progress(*columns, TimeElapsedColumn(), console=self.console) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)
            progress.update(task, total=total or 1, completed=total or 1)


def results_console() -> Console:
    """Where tables go: stdout, wide enough when nobody's terminal sets the width."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console
