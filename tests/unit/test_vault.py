"""Kept keys: sealed, bound to whose they are, rewrapped under a new master key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mini_llm.errors import ConfigError
from router.people.vault import FileKeys, Unsealable, Vault, new_key_line, open_vault

SECRET = b"sk-somebody's-own-provider-key"
OLD, NEW = b"1" * 32, b"2" * 32


def test_a_key_is_sealed_under_a_data_key_of_its_own_and_opened_again() -> None:
    vault = Vault(FileKeys({"one": OLD}))
    first, second = vault.seal(SECRET, b"a"), vault.seal(SECRET, b"a")
    assert vault.open(first, b"a") == vault.open(second, b"a") == SECRET
    assert first.sealed != second.sealed
    assert first.wrapped != second.wrapped
    assert SECRET not in first.sealed + first.wrapped


def test_a_seal_is_bound_to_its_context_and_breaks_if_touched() -> None:
    vault = Vault(FileKeys({"one": OLD}))
    kept, other = vault.seal(SECRET, b"account 1"), vault.seal(SECRET, b"account 2")
    with pytest.raises(Unsealable):
        vault.open(kept, b"account 2")
    for part in ("sealed", "wrapped"):
        whole = getattr(kept, part)
        for at in (0, len(whole) // 2, len(whole) - 1):
            touched = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
            with pytest.raises(Unsealable):
                vault.open(replace(kept, **{part: touched}), b"account 1")
        with pytest.raises(Unsealable):
            vault.open(replace(kept, **{part: b""}), b"account 1")
    with pytest.raises(Unsealable):
        vault.open(replace(kept, sealed=other.sealed), b"account 1")


def test_rotating_the_master_key_rewraps_and_lets_the_old_one_go() -> None:
    kept = Vault(FileKeys({"old": OLD})).seal(SECRET, b"a")
    both = Vault(FileKeys({"new": NEW, "old": OLD}))
    assert both.open(kept, b"a") == SECRET
    moved = both.rewrap(kept, b"a")
    assert (moved.master_id, moved.sealed) == ("new", kept.sealed)
    only_new = Vault(FileKeys({"new": NEW}))
    assert only_new.open(moved, b"a") == SECRET
    with pytest.raises(Unsealable, match="'old'"):
        only_new.open(kept, b"a")


def test_the_setting_names_a_file_of_keys(tmp_path: Path) -> None:
    assert open_vault(None) is None
    file = tmp_path / "keys"
    file.write_text(f"{new_key_line('new')}\n{new_key_line('old')}\n")
    vault = open_vault(f"file:{file}")
    assert vault is not None
    assert vault.current_id == "new"


LINE = "a " + "A" * 43 + "="


@pytest.mark.parametrize("text", ["", "one", "one AAAA", "one !!", f"{LINE}\n{LINE}", "é " + "A" * 44])
def test_an_unusable_file_is_told_in_words(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(ConfigError, match="VIBES_MASTER_KEY"):
        open_vault(f"file:{file}")


def test_a_missing_file_or_plugin_is_told_in_words(tmp_path: Path) -> None:
    for setting in (f"file:{tmp_path / 'nothing'}", "cloud:somewhere", "nonsense"):
        with pytest.raises(ConfigError, match="VIBES_MASTER_KEY"):
            open_vault(setting)
