"""The editor of the configuration file: checked as the command line does it, looked at as a difference, then
written whole and put into force."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from mini_llm.errors import ConfigError
from router.api.admin_access import act, state_of
from router.errors import FileChanged, NotEditable
from router.ledger import audit
from router.people.errors import BadInput
from router.web.door import see
from router.web.operator.door import operator_of, operator_page, operator_routes, read_form
from router.web.operator.writing import (
    MAX_BYTES,
    Fault,
    difference,
    digest,
    faults,
    read_file,
    replace_file,
    require_no_secret,
    why_not,
)

MAX_FORM_BYTES: Final = 3 * MAX_BYTES + 65_536
"""Letters of other scripts take three times their bytes in a form."""
MAX_REASON: Final = 200

routes: Final[APIRouter] = operator_routes()


@routes.get("/routing/file")
async def show(request: Request, written: str = "") -> Response:
    """The file as it is."""
    operator_of(request)
    text = await asyncio.to_thread(read_file, _path(request))
    note = None
    if written:
        note = "Written. It is in force in this worker; others take it up within two seconds."
    return await _editor(request, text, digest(text), note=note)


@routes.post("/routing/file/check")
async def check(request: Request) -> Response:
    """What is wrong with a text, or what it would change."""
    operator_of(request)
    text, expected = await _sent(request)
    present = await asyncio.to_thread(read_file, _path(request))
    if digest(present) != expected:
        return await _changed(request, text, present)
    found = await _faults(request, text)
    if found:
        return await _editor(request, text, expected, found, status=422)
    if text == present:
        return await _editor(request, text, expected, note="The text is good, and changes nothing.")
    return operator_page(
        request,
        "difference.html",
        path_of_file=_path(request),
        text=text,
        expected=expected,
        lines=difference(present, text),
        max_reason=MAX_REASON,
    )


@routes.post("/routing/file")
async def write(request: Request) -> Response:
    """Writes a text that was checked, and puts it into force."""
    operator = operator_of(request)
    state, path = state_of(request), _path(request)
    if (reason_not := why_not(path, state.settings.operating.editable)) is not None:
        raise NotEditable(reason_not)
    form = await read_form(request, MAX_FORM_BYTES)
    text, expected, reason = _text(form.text("text")), form.text("expected"), form.text("reason")
    if not 0 < len(reason) <= MAX_REASON:
        raise BadInput("reason", f"is needed, in {MAX_REASON} letters at most")
    if found := await _faults(request, text):
        return await _editor(request, text, expected, found, status=422)
    what = act(operator, "config.write", f"file:{path}")
    after = {"sha256": digest(text), "reason": reason}
    await state.ledger.submit(lambda connection: audit.record(connection, what, {"sha256": expected}, after))
    try:
        await asyncio.to_thread(replace_file, path, text, expected)
    except FileChanged:
        return await _changed(request, text, await asyncio.to_thread(read_file, path))
    await state.reload.now()
    return see("/operator/routing/file?written=yes")


async def _faults(request: Request, text: str) -> list[Fault]:
    """All that keeps a text from coming into force."""
    try:
        await asyncio.to_thread(require_no_secret, _path(request), text)
        await asyncio.to_thread(state_of(request).reload.read, text)
    except ConfigError as error:
        return faults(error, text)
    return []


async def _editor(
    request: Request,
    text: str,
    expected: str,
    found: list[Fault] | None = None,
    status: int = 200,
    note: str | None = None,
) -> Response:
    path = _path(request)
    return operator_page(
        request,
        "editor.html",
        status,
        path_of_file=path,
        text=text,
        expected=expected,
        faults=found or [],
        note=note,
        rows=min(max(text.count("\n") + 3, 12), 40),
        closed=why_not(path, state_of(request).settings.operating.editable),
    )


async def _changed(request: Request, text: str, present: str) -> Response:
    """Tells what the file says by now, and goes on from there with the same text."""
    return operator_page(
        request,
        "changed.html",
        409,
        path_of_file=_path(request),
        text=text,
        expected=digest(present),
        lines=difference(present, text),
    )


async def _sent(request: Request) -> tuple[str, str]:
    form = await read_form(request, MAX_FORM_BYTES)
    return _text(form.text("text")), form.text("expected")


def _text(sent: str) -> str:
    """Browsers end the lines of a form with CR LF; a file ends with one newline."""
    text = sent.replace("\r\n", "\n") + "\n"
    if len(text.encode()) > MAX_BYTES:
        raise BadInput("text", f"is longer than {MAX_BYTES} bytes")
    return text


def _path(request: Request) -> Path:
    return state_of(request).settings.config_path
