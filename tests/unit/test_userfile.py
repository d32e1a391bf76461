"""The user's own configuration file: who may read it, what a change keeps, and where secrets go."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backends import fail, null
from support.keyrings import BrokenKeyring, FileKeyring, ForgetfulKeyring

from mini_llm.config import RoutingConfig
from mini_llm.config_file import load_config
from mini_llm.errors import ConfigError
from mini_llm.userfile import FILE_NAME, UserFile, forget_secret, user_file, user_folder

PLACE = ("providers", "openai", "api_key")
SECRET = "sk-secret"


@pytest.fixture
def file(tmp_path: Path) -> UserFile:
    return UserFile(tmp_path / "home" / ".mini-llm" / FILE_NAME)


@pytest.fixture
def chosen() -> Iterator[Any]:
    """Sets the keyring of this process."""
    before = keyring.get_keyring()
    yield keyring.set_keyring
    keyring.set_keyring(before)


@pytest.fixture
def working(chosen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    kept = tmp_path / "keyring.json"
    monkeypatch.setenv("TEST_KEYRING", str(kept))
    chosen(FileKeyring())
    return kept


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_folder({"HOME": "/home/a"}) == Path("/home/a/.mini-llm")
    assert user_folder({"HOME": "/home/a", "MINI_LLM_HOME": "/etc/m"}) == Path("/etc/m")
    assert user_folder({"MINI_LLM_HOME": "~/m"}) == Path.home() / "m"
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert user_folder({}) is None
    with pytest.raises(ConfigError, match="export MINI_LLM_HOME="):
        user_file({})


def test_only_its_owner_reads_it(file: UserFile) -> None:
    file.edit(lambda fields: fields.update(a=1))
    assert mode(file.path) == 0o600
    assert mode(file.path.parent) == 0o700
    file.path.chmod(0o644)
    file.edit(lambda fields: fields.update(b=2))
    assert mode(file.path) == 0o600


def test_a_change_keeps_what_it_does_not_touch(file: UserFile) -> None:
    file.path.parent.mkdir(parents=True)
    file.path.write_text('{"$schema": "x", "of a later version": {"ü": [1]}, "aliases": {"a": "b"}}')
    file.edit(lambda fields: fields["aliases"].update(fast="m"))
    assert json.loads(file.path.read_text()) == {
        "$schema": "x",
        "of a later version": {"ü": [1]},
        "aliases": {"a": "b", "fast": "m"},
    }
    assert list(file.read()) == ["$schema", "of a later version", "aliases"]
    assert [path.name for path in file.path.parent.iterdir()] == [FILE_NAME]


def test_a_change_that_fails_leaves_the_file(file: UserFile) -> None:
    file.edit(lambda fields: fields.update(a=1))
    with pytest.raises(ZeroDivisionError):
        file.edit(lambda fields: [fields.clear(), 1 // 0])
    with pytest.raises(TypeError):
        file.edit(lambda fields: fields.update(a={1, 2}))
    assert file.read() == {"a": 1}
    assert [path.name for path in file.path.parent.iterdir()] == [FILE_NAME]


def test_changes_at_once_are_all_kept(file: UserFile) -> None:
    def add(number: int) -> None:
        file.edit(lambda fields: fields.update({str(number): number}))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read()) == 16


def test_a_link_stays_a_link(file: UserFile, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "mini-llm.json"
    real.parent.mkdir()
    real.write_text("{}")
    file.path.parent.mkdir(parents=True)
    file.path.symlink_to(real)
    file.edit(lambda fields: fields.update(a=1))
    assert file.path.is_symlink()
    assert json.loads(real.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "words"), [("{", "is not JSON"), ("[]", "is not a JSON object"), ('{"a": NaN}', "is not JSON")]
)
def test_a_file_that_is_none_is_told_and_left(file: UserFile, text: str, words: str) -> None:
    file.path.parent.mkdir(parents=True)
    file.path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        file.edit(lambda fields: fields.update(a=1))
    assert file.path.read_text() == text


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        UserFile(tmp_path / "taken" / FILE_NAME).edit(lambda fields: None)


def test_a_secret_goes_to_the_keyring(file: UserFile, working: Path) -> None:
    assert file.put_secret(PLACE, SECRET) == FileKeyring.name
    assert SECRET not in file.path.read_text()
    assert list(json.loads(working.read_text()).values()) == [SECRET]
    loaded = load_config(file.path, RoutingConfig, {})
    key = loaded.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == SECRET


def test_a_new_secret_replaces_the_old_one(file: UserFile, working: Path) -> None:
    file.put_secret(PLACE, SECRET)
    file.put_secret(PLACE, "sk-new")
    assert list(json.loads(working.read_text()).values()) == ["sk-new"]
    forget_secret(file.read()["providers"]["openai"]["api_key"])
    assert json.loads(working.read_text()) == {}


def test_two_configurations_share_no_secret(file: UserFile, tmp_path: Path, working: Path) -> None:
    other = UserFile(tmp_path / "other" / FILE_NAME)
    file.put_secret(PLACE, SECRET)
    other.put_secret(PLACE, "sk-other")
    assert sorted(json.loads(working.read_text()).values()) == ["sk-other", SECRET]


@pytest.mark.parametrize(
    "backend",
    [fail.Keyring, null.Keyring, BrokenKeyring, ForgetfulKeyring],
    ids=lambda one: one.__module__ + one.__name__,
)
def test_without_a_keyring_that_works_the_file_has_the_secret(
    file: UserFile, working: Path, chosen: Any, backend: Any
) -> None:
    chosen(backend())
    assert file.put_secret(PLACE, SECRET) is None
    assert file.read() == {"providers": {"openai": {"api_key": SECRET}}}
    assert mode(file.path) == 0o600


def test_a_reference_is_written_as_it_is(file: UserFile, working: Path) -> None:
    assert file.put_secret(PLACE, "${OPENAI_API_KEY}") is None
    assert file.read()["providers"]["openai"]["api_key"] == "${OPENAI_API_KEY}"
    assert not working.exists()


def test_a_secret_whose_file_cannot_be_written_is_not_kept(tmp_path: Path, working: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError):
        UserFile(tmp_path / "taken" / FILE_NAME).put_secret(PLACE, SECRET)
    assert json.loads(working.read_text()) == {}


def test_a_secret_that_is_gone_is_told_with_its_line(file: UserFile, working: Path) -> None:
    file.put_secret(PLACE, SECRET)
    working.unlink()
    with pytest.raises(ConfigError, match=r"config.json:4: providers.openai.api_key: .* set the key again"):
        load_config(file.path, RoutingConfig, {})
