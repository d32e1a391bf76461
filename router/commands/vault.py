"""`vibes-router vault`: master keys, under which kept keys are sealed."""

from __future__ import annotations

import os

import click
from sqlalchemy import Connection

from mini_llm.cli.lazy import Group
from mini_llm.errors import ConfigError
from router.commands.ledger import read_ledger, told, write_ledger
from router.config_people import load_people
from router.people import custody, provider_keys
from router.people.vault import SETTING, Unsealable, Vault, new_key_line, open_vault


@click.group(cls=Group)
def vault() -> None:
    """Manage the master key that seals users' provider keys and held session keys.

    \b
    Make one, name it, and start the router with it:
      vibes-router vault new-key 2026-11 > master.keys && chmod 600 master.keys
      export VIBES_MASTER_KEY=file:master.keys

    \b
    Rotate: put a new line FIRST in the file, restart, rewrap, then remove the old line:
      vibes-router vault rewrap
    """


@vault.command("new-key")
@click.argument("name")
def new_key(name: str) -> None:
    """Print a line for the key file, with a fresh key called NAME.

    \b
    Example: vibes-router vault new-key 2026-11 > master.keys
    """
    if len(name.split()) != 1 or not name.isascii() or len(name) > 64:
        raise click.ClickException("a name is one word of at most 64 characters")
    click.echo(new_key_line(name))


@vault.command()
def rewrap() -> None:
    """Wrap every kept key's data key under the current master key; may be repeated at any time.

    \b
    Example: vibes-router vault rewrap
    """
    with told():
        opened = open_vault(load_people(os.environ).master_key)
        if opened is None:
            raise ConfigError(SETTING, "is not set in the environment")
    try:
        done = _provider_keys(opened) + _session_keys(opened)
    except Unsealable as error:
        raise click.ClickException(f"{error}: put its master key back into the file") from None
    click.echo(f"{done} keys are now under {opened.current_id}")


def _provider_keys(opened: Vault) -> int:
    old = [own for own in read_ledger(provider_keys.all_keys) if own.kept.master_id != opened.current_id]
    new = [(own, opened.rewrap(own.kept, own.context)) for own in old]

    def store(connection: Connection) -> None:
        for own, kept in new:
            provider_keys.replace_seal(connection, own, kept)

    write_ledger(store)
    return len(new)


def _session_keys(opened: Vault) -> int:
    old = [held for held in read_ledger(custody.held_keys) if held.kept.master_id != opened.current_id]
    new = [(held, opened.rewrap(held.kept, held.context)) for held in old]

    def store(connection: Connection) -> None:
        for held, kept in new:
            custody.replace_seal(connection, held, kept)

    write_ledger(store)
    return len(new)
