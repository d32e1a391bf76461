"""`vibes-router db`: the ledger database between releases.

Alembic is loaded by the command that needs it: a router that serves never moves a database, and spares 9 MB.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import click

from mini_llm.cli.lazy import Group
from mini_llm.errors import ConfigError
from router.commands.ledger import told
from router.config import load_ledger_url
from router.db import SCHEMA_REVISION
from router.db_trouble import LEDGER, OWNER_ONLY, parsed, prepare_file
from router.people import models as models  # registers the tables that a database is compared with


@click.group(cls=Group)
def db() -> None:
    """Back up the ledger database, or move it to another release.

    Before a move, stop every router and bridge, and make a backup.
    """


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Move the database to REVISION [default: this release's]; its data is kept.

    \b
    Example: vibes-router db upgrade
    """
    from router.ledger import schema

    with told():
        click.echo(f"at revision {schema.upgrade(load_ledger_url(os.environ), revision)}")


@db.command()
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Move the database back to REVISION; refused if the older tables cannot hold money that is owed.

    \b
    Example: vibes-router db downgrade 0001     the first release
    """
    from router.ledger import schema

    with told():
        click.echo(f"at revision {schema.downgrade(load_ledger_url(os.environ), revision)}")


@db.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Copy a SQLite ledger into FILE as of one moment, while routers and bridge keep running.

    A copy of the file alone misses what is only in its write-ahead log. For PostgreSQL take pg_dump or its
    archive.

    \b
    Example: vibes-router db backup /backup/ledger-$(date +%F).db
    """
    with told():
        url = parsed(load_ledger_url(os.environ))
        if url.get_backend_name() != "sqlite" or not url.database:
            raise ConfigError(LEDGER, "is no SQLite file: back PostgreSQL up with pg_dump or its archive")
        prepare_file(url, create=False)
        try:
            _copy(url.database, file)
        except FileExistsError as error:
            raise click.ClickException(f"{error.filename} already exists") from None
        except (OSError, sqlite3.Error) as error:
            raise click.ClickException(f"{file}: {error}") from None
    click.echo(f"{file}: {file.stat().st_size:,} bytes")


def _copy(database: str, file: Path) -> None:
    """Copies a database and has the copy on disk under its name only once it is whole.

    Raises:
        FileExistsError: the file is there, or part of it.
        OSError, sqlite3.Error: it cannot be read or written; then there is no file.
    """
    part = file.with_name(f"{file.name}.part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY))  # it holds what accounts did
    try:
        if file.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(file))
        with (
            closing(sqlite3.connect(f"{Path(database).resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            source.backup(copy)  # in one step: of pieces it would begin anew whenever somebody has written
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the ledger's mode is
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@db.command()
def current() -> None:
    """Show the revisions of the database and of this release.

    \b
    Example: vibes-router db current
    """
    from router.ledger import schema

    with told():
        found = schema.current(load_ledger_url(os.environ))
    click.echo(f"database {found or 'without a revision'}, this release {SCHEMA_REVISION}")


@db.command()
def check() -> None:
    """Compare the tables with what this release expects; exits 1 if they differ.

    \b
    Example: vibes-router db check
    """
    from router.ledger import schema

    with told():
        changes = schema.differences(load_ledger_url(os.environ))
    for change in changes:
        click.echo(change)
    if changes:
        raise click.ClickException(f"the tables lack {len(changes)} changes to be as expected")
    click.echo(f"revision {SCHEMA_REVISION}: the tables are as expected")
