"""Forms that count once: a reloaded answer does not do again what the form did.

A form carries a random number. What it asks for and the note that it was sent are one transaction; a second
one finds the note.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from router.people.errors import BadInput, FormUsed
from router.people.models import USED_NONCE

_BYTES: Final = 16


def new_form() -> str:
    """The number of a new form, 32 hex digits."""
    return secrets.token_hex(_BYTES)


def use_form(connection: Connection, address: str, form: str, now_s: int) -> None:
    """Notes that a wallet sent a form; the note is forgotten with the nonces of that time.

    Raises:
        FormUsed: it was sent before.
        BadInput: it has no number.
    """
    if len(form) != 2 * _BYTES:
        raise BadInput("form", "has no number: open the page anew")
    nonce = hashlib.sha256(f"form\n{address}\n{form}".encode()).hexdigest()
    try:
        connection.execute(insert(USED_NONCE), {"nonce": nonce, "expires_s": now_s})
    except IntegrityError:
        raise FormUsed from None
