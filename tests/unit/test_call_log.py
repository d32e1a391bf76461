"""The lines of calls, where they cannot be written."""

from __future__ import annotations

import errno
import io
import json
import logging
import os

from router.observe.logs import CallLog, JsonFormatter
from router.observe.observer import Observer
from router.observe.record import new_record


class Full(io.StringIO):
    """A file on a full disk."""

    tries = 0

    def flush(self) -> None:
        self.tries += 1
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_log_that_cannot_be_written_keeps_no_router_from_ending_in_order() -> None:
    file, record = Full(), new_record(None, None)
    observer = Observer(CallLog(file, as_json=True))
    async with observer.running():
        observer.began(record, "POST")
        record.surface = "chat"
        observer.ended(record)
    assert file.tries == 1


def test_lines_name_the_process_so_that_workers_can_be_told_apart() -> None:
    file = io.StringIO()
    log = CallLog(file, as_json=True)
    log.tell(new_record(None, None))
    log.flush()
    record = logging.LogRecord("router.serve", logging.INFO, __file__, 1, "ready", None, None)
    pids = {json.loads(line)["pid"] for line in (file.getvalue(), JsonFormatter().format(record))}
    assert pids == {os.getpid()}
