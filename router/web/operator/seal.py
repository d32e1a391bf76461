"""An operator's session as a sealed text: it says who and until when, and holds no key.

The seal is over the hash of the operator's key as the keys file has it now. So a session ends when its key is
taken out of the file or replaced, in every worker, and nobody keeps a list.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from router.api.admin_door import AdminDoor
from router.errors import UnknownAdminKey

IDLE_S: Final = 3600
"""A session that is not used for so long ends."""
LONGEST_S: Final = 12 * 3600
"""No session lasts longer, however much it is used."""
RENEW_S: Final = 300
"""A session that is so old is renewed when it is used."""
_PURPOSE: Final = b"operators' sessions"


@dataclass(frozen=True)
class Session:
    """Who has signed in, when, and when the session was last renewed; unix seconds."""

    name: str
    began_s: int
    renewed_s: int

    @property
    def until_s(self) -> int:
        """When it ends, unless it is renewed."""
        return min(self.renewed_s + IDLE_S, self.began_s + LONGEST_S)

    def renewed(self, now_s: int) -> Session:
        """The same, used now."""
        return replace(self, renewed_s=now_s)


class Seals:
    """Makes and opens sealed sessions.

    Args:
        door: knows the operators.
        secret: of this deployment; workers that share it take each other's sessions.
    """

    def __init__(self, door: AdminDoor, secret: bytes) -> None:
        self._door = door
        self._key = blake2b(_PURPOSE, digest_size=32, key=secret).digest()

    def seal(self, session: Session) -> str:
        """The session as a text for a cookie.

        Raises:
            UnknownAdminKey: the operator is not in the keys file any more.
        """
        return f"{session.name}.{session.began_s}.{session.renewed_s}.{self._mac(session)}"

    def open(self, text: str, now_s: int) -> Session | None:
        """The session, None if the text is not ours, or it has ended."""
        name, *rest = text.rsplit(".", 3)
        if len(rest) != 3 or not (rest[0].isdecimal() and rest[1].isdecimal()) or len(text) > 256:
            return None
        session = Session(name, int(rest[0]), int(rest[1]))
        try:
            good = hmac.compare_digest(self._mac(session).encode(), rest[2].encode())
        except UnknownAdminKey:
            return None
        return session if good and session.began_s <= now_s < session.until_s else None

    def _mac(self, session: Session) -> str:
        digest = self._door.digest_of(session.name)
        if digest is None:
            raise UnknownAdminKey
        text = f"{session.name}.{session.began_s}.{session.renewed_s}.{digest}"
        return blake2b(text.encode(), digest_size=32, key=self._key).hexdigest()
