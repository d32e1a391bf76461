"""The user's own file, ``~/.mini-llm/config.json``, as commands change it.

Only its owner may read it. What a change does not touch stays as it was, fields that nobody here knows too.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic_core import from_json

from mini_llm import keychain
from mini_llm.errors import ConfigError

T = TypeVar("T")

FOLDER_VARIABLE: Final = "MINI_LLM_HOME"
FILE_NAME: Final = "config.json"
OWNER_ONLY: Final = 0o600
_FOLDER_OWNER_ONLY: Final = 0o700
_IN_KEYRING: Final = re.compile(r"\$\{keyring:([^{}]+)\}")


def user_folder(environ: Mapping[str, str]) -> Path | None:
    """Where this user's configuration and usage log are: ``$MINI_LLM_HOME``, else ``~/.mini-llm``.

    None for a user without a home, as in some containers.
    """
    home = environ.get("HOME") or environ.get("USERPROFILE")
    try:
        if named := environ.get(FOLDER_VARIABLE):
            return Path(named).expanduser()  # where no shell has done it, as in a container's settings
        return (Path(home) if home else Path.home()) / ".mini-llm"
    except RuntimeError:  # no variable, and no entry in the system's list of users
        return None


def current_folder() -> Path:
    """Where this process works; one whose folder is gone works nowhere in particular."""
    try:
        return Path.cwd()
    except OSError:
        return Path()


def user_file(environ: Mapping[str, str]) -> UserFile:
    """The user's file.

    Raises:
        ConfigError: the user has no home.
    """
    folder = user_folder(environ)
    if folder is None:
        raise ConfigError("HOME", f"is not set: export {FOLDER_VARIABLE}=… to say where to keep settings")
    return UserFile(folder / FILE_NAME)


@dataclass(frozen=True, slots=True)
class UserFile:
    """A configuration file that commands change; ``path`` need not exist yet."""

    path: Path

    def read(self) -> dict[str, Any]:
        """What it says, as written: references stay references. Empty if there is no file.

        Raises:
            ConfigError: it cannot be read, or is no JSON object.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(str(self.path), f"cannot be read ({error.strerror})") from None
        try:
            fields = from_json(text, allow_inf_nan=False)
        except ValueError as error:
            raise ConfigError(str(self.path), f"is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise ConfigError(str(self.path), "is not a JSON object")
        return fields

    def edit(self, change: Callable[[dict[str, Any]], T]) -> T:
        """Reads the file, lets ``change`` change what it says, writes it back and returns what that returned.

        The file is replaced as a whole, so nobody ever reads half of it; two changes at once take turns.

        Raises:
            ConfigError: it cannot be read or written.
        """
        target = self.path.resolve()  # a link stays one
        try:
            target.parent.mkdir(mode=_FOLDER_OWNER_ONLY, parents=True, exist_ok=True)
            with _alone(target.parent):
                fields = self.read()
                result = change(fields)
                _replace(target, json.dumps(fields, indent=2, ensure_ascii=False) + "\n")
        except OSError as error:
            raise ConfigError(str(self.path), f"cannot be written ({error.strerror})") from None
        return result

    def put_secret(
        self, place: tuple[str, ...], secret: str, beside: Mapping[str, Any] | None = None
    ) -> str | None:
        """Sets the secret at a place of the file: in the keyring where one works, else in the file itself.

        Objects on the way are made; a reference such as ``${NAME}`` is written as it is. What the keyring had
        for this place is deleted. Returns the keyring's name, None if the file itself has the secret.

        Args:
            place: names of objects on the way, and of the field.
            secret: what to keep.
            beside: fields of the same object that change with it, at once; None takes one out.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        name = None if is_reference(secret) else keychain.keep_secret(".".join(place), secret)
        written = secret if name is None else f"${{keyring:{name}}}"

        def put(fields: dict[str, Any]) -> object:
            *way, last = place
            for step in way:
                if not isinstance(fields.get(step), dict):  # it may say null
                    fields[step] = {}
                fields = fields[step]
            before = fields.get(last)
            fields.update(beside or {}, **{last: written})
            for name in [name for name, value in (beside or {}).items() if value is None]:
                del fields[name]
            return before

        try:
            forget_secret(self.edit(put))
        except ConfigError:
            forget_secret(written)
            raise
        return None if name is None else keychain.keyring_name()


def is_reference(text: str) -> bool:
    """The text stands for a secret that is kept elsewhere."""
    return "${" in text


def forget_secret(written: object) -> None:
    """Deletes what the keyring has for a value of the file, if that is a reference into it."""
    if isinstance(written, str) and (found := _IN_KEYRING.fullmatch(written)):
        keychain.drop_secret(found[1])


def _replace(target: Path, text: str) -> None:
    """Puts a new file in the place of the old one, on disk before it is seen."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # for its owner only
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other changes of the folder's file waiting."""
    try:
        import fcntl
    except ImportError:  # Windows: the last of two changes at once wins
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
