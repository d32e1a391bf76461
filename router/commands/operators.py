"""`vibes-router admin-key`: who may use the operator's API and pages."""

from __future__ import annotations

import click

from router.api.admin_door import new_admin_key


@click.command("admin-key")
@click.argument("name")
def admin_key(name: str) -> None:
    """Make an operator's key for NAME and print it, this once, with its line for VIBES_ADMIN_KEYS_FILE.

    \b
    Example: vibes-router admin-key alice 2>>admin.keys
    The key goes to standard output, the line with its hash to standard error.
    """
    key, line = new_admin_key(name)
    click.echo(key)
    click.echo(line, err=True)
