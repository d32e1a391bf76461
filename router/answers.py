"""Answers that are kept for replays: for how long, and sealed while they are.

Each router seals under a key of its own, which every answer carries, wrapped under the master key. So a key
management service is asked once by a router that writes, and once for each writer by one that reads.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from pydantic_core import from_json, to_json

from mini_llm.errors import ConfigError
from router.ledger.reservations import Replay
from router.ledger.views import StoredAnswer
from router.people.vault import KEY_BYTES, Sealed, Unsealable, Vault, decrypt, encrypt

SETTING: Final = "VIBES_ANSWERS_S"
SEALED_TYPE: Final = "application/vnd.vibes.sealed-answer"
CONTEXT: Final = b"kept answers"
OPENED_KEYS: Final = 100
"""Most keys of other writers that a router remembers."""
_LENGTH_BYTES: Final = 2
_OK: Final = 200

log = logging.getLogger(__name__)


class KeptAnswers:
    """Seals answers, and opens them again.

    Args:
        vault: of the master key, None without one.
        keep_s: seconds after which an answer is erased, counted from its call; None keeps answers as they
            are until somebody erases them.

    Raises:
        ConfigError: answers are to be sealed, and there is no master key.
    """

    def __init__(self, vault: Vault | None, keep_s: int | None) -> None:
        if keep_s is not None and vault is None:
            raise ConfigError(SETTING, "seals answers: it needs VIBES_MASTER_KEY too")
        self._vault, self.keep_s = vault, keep_s
        self._key: tuple[bytes, bytes] | None = None  # and how answers carry it
        self._opened: OrderedDict[bytes, bytes] = OrderedDict()

    async def prepare(self) -> None:
        """Makes the key of this router, before the first answer is sealed."""
        if self.keep_s is None or self._vault is None:
            return
        key = secrets.token_bytes(KEY_BYTES)
        kept = await asyncio.to_thread(self._vault.seal, key, CONTEXT)
        carried = {
            "sealed": base64.b64encode(kept.sealed).decode(),
            "wrapped": base64.b64encode(kept.wrapped).decode(),
            "master_id": kept.master_id,
        }
        self._key = key, to_json(carried)

    def kept(self, request_id: str, content_type: str, body: bytes) -> StoredAnswer:
        """An answer as it is kept; if sealed, bound to its call."""
        if self._key is None:
            return StoredAnswer(_OK, content_type, body)
        key, carried = self._key
        sealed = encrypt(key, content_type.encode() + b"\n" + body, request_id.encode())
        return StoredAnswer(_OK, SEALED_TYPE, len(carried).to_bytes(_LENGTH_BYTES, "big") + carried + sealed)

    async def opened(self, replay: Replay) -> Replay:
        """The replay with the answer as the client got it; without one if it cannot be opened any more."""
        answer = replay.answer
        if answer is None or answer.content_type != SEALED_TYPE:
            return replay
        head = _LENGTH_BYTES + int.from_bytes(answer.body[:_LENGTH_BYTES], "big")
        try:
            key = await self._key_of(answer.body[_LENGTH_BYTES:head])
            plain = decrypt(key, answer.body[head:], replay.entry_id.encode(), CONTEXT.decode())
        except (Unsealable, ValueError) as error:
            log.error("the answer of call %s cannot be opened: %s", replay.entry_id, type(error).__name__)
            return replace(replay, answer=None)
        content_type, _, body = plain.partition(b"\n")
        return replace(replay, answer=StoredAnswer(answer.status, content_type.decode(), body))

    async def _key_of(self, carried: bytes) -> bytes:
        if (key := self._opened.get(carried)) is None:
            fields = from_json(carried)
            sealed, wrapped = (base64.b64decode(fields[name]) for name in ("sealed", "wrapped"))
            if self._vault is None:
                raise Unsealable(fields["master_id"])
            kept = Sealed(sealed, wrapped, fields["master_id"])
            key = await asyncio.to_thread(self._vault.open, kept, CONTEXT)
            while len(self._opened) >= OPENED_KEYS:
                self._opened.popitem(last=False)
            self._opened[carried] = key
        return key


AS_THEY_ARE: Final = KeptAnswers(None, None)
"""Keeps answers unsealed, until somebody erases them."""
