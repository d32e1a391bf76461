"""Worker processes that never outlive the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait


def new_pool(processes: int) -> ProcessPoolExecutor:
    """A pool of fresh processes, which are started when first needed."""
    # Forking a process that has threads or open connections is unsafe: workers start fresh.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_exit_with_parent)


def _exit_with_parent() -> None:
    """End this worker when the process that started it is gone, even by SIGKILL."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
