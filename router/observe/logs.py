"""Logs as JSON, one object a line, and one line for each paid call. Never prompts, answers or keys.

An exception is told by its type and the places it passed through: its words may quote what a client sent.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from typing import Any, Final, TextIO

from router.db_trouble import trouble_of
from router.observe.record import CallRecord, current

_TOGETHER: Final = 6
"""Lines in one write: of less than 4 KB, so that nothing of another worker's comes in between."""
_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_NS_PER_MS: Final = 1_000_000


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON with the request's id."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, without its end."""
        line: dict[str, Any] = {
            "at": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        if request_id := current().request_id:
            line["request_id"] = request_id
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = describe(record.exc_info[1])
        return _ENCODE(line)


class TextFormatter(logging.Formatter):
    """A log record for a person's eyes."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatException(self, ei: Any) -> str:
        """Where it happened, without its words."""
        error = describe(ei[1])
        return "\n".join((error["type"], *filter(None, (error.get("trouble"),)), *error["places"]))


def describe(error: BaseException) -> dict[str, Any]:
    """An exception without its words: the type, why a database cannot be used if that is it, and
    `file:line function` of each frame, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)
    trouble = trouble_of(error)
    return {
        "type": type(error).__name__,
        **({} if trouble is None else {"trouble": str(trouble)}),
        "places": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def set_up(level: str, form: str) -> bool:
    """Sends all logs to stderr in one form; True if that is JSON.

    Args:
        level: lowest level that is told.
        form: "json", "text" or "auto", which is text on a terminal and JSON elsewhere.
    """
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else it tells each call a second time
    return as_json


class CallLog:
    """The line of each call. Lines are gathered and written a moment later, many at once.

    Args:
        stream: where to.
        as_json: as JSON, else as `name=value` pairs.
    """

    def __init__(self, stream: TextIO, as_json: bool) -> None:
        self._stream, self._as_json = stream, as_json
        self._lines: list[str] = []

    def tell(self, record: CallRecord) -> None:
        """Takes the line of a call that has ended."""
        fields = call_fields(record)
        self._lines.append(_ENCODE(fields) if self._as_json else _pairs(fields))

    def flush(self) -> None:
        """Writes what was gathered."""
        if self._lines:
            lines, self._lines = self._lines, []
            for start in range(0, len(lines), _TOGETHER):
                self._stream.write("\n".join(lines[start : start + _TOGETHER]) + "\n")
                self._stream.flush()


def call_fields(record: CallRecord) -> dict[str, Any]:
    """What is told of a call; fields without a value are left out."""
    usage = record.usage
    fields: dict[str, Any] = {
        "at": _utc(time.time()),
        "level": "info",
        "logger": "router.call",
        "message": "call",
        "pid": os.getpid(),
        "request_id": record.request_id,
        "call": record.call_id,
        "surface": record.surface,
        "account": record.account_idx,
        "key": record.key_id,
        "model": record.served or record.model,
        "deployment": record.deployment,
        "failed": [f"{tried.deployment}:{tried.outcome}" for tried in record.failed] or None,
        "stream": record.stream or None,
        "status": record.status,
        "outcome": record.outcome,
        "charge_base": record.charge_base,
        "ms": (time.perf_counter_ns() - record.started_ns) // _NS_PER_MS,
    }
    if usage is not None:
        fields["prompt_tokens"] = usage.prompt_tokens
        fields["completion_tokens"] = usage.completion_tokens
        fields["estimated"] = usage.estimated
    if record.lost_base:
        fields["lost_base"] = record.lost_base
    return {name: value for name, value in fields.items() if value is not None}


def _pairs(fields: dict[str, Any]) -> str:
    at, level, name, message, *rest = fields.items()
    pairs = " ".join(f"{key}={value}" for key, value in rest)
    return f"{at[1]} {level[1].upper()} {name[1]}: {message[1]} {pairs}"


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"
