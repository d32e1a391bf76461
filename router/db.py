"""Opening the ledger's database. What else differs between SQLite and PostgreSQL is in `router.db_sessions`.

The tables register themselves on `METADATA` when `router.ledger` is imported; the guards below are database
triggers, so the rules hold even for a program that bypasses the ledger's Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Connection, Engine, Integer, create_engine, inspect, text
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

from mini_llm.errors import ConfigError
from router.db_sessions import configure_sessions, writing
from router.db_trouble import FORMS, LEDGER, NoLedger, opening, parsed, prepare_file, refuse_other_texts

_REGISTRY: Final = registry()
METADATA: Final = _REGISTRY.metadata
"""Every table of the ledger database."""

RowNumber: Final = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit row number that the database counts up (SQLite does so for INTEGER keys only)."""

MAX_ROW: Final = 2**63 - 1
"""The largest number that an integer column holds."""

SCHEMA_REVISION: Final = "0017"
"""The revision of the tables as they are here, the last in `router.ledger.migrations`."""

_VERSIONS: Final = "alembic_version"


class LedgerTable(SQLModel, registry=_REGISTRY):
    """Base of the ledger's tables."""


@dataclass(frozen=True)
class Guard:
    """A rule that the database itself enforces before it changes a row.

    Args:
        name: name of the trigger.
        table: table it guards.
        event: INSERT, UPDATE or DELETE.
        refuse: SQL condition on OLD and NEW under which the change is refused, in words of both dialects.
        reason: what the refused program is told.
    """

    name: str
    table: str
    event: str
    refuse: str
    reason: str


_LEGS_OF_ENTRY: Final = "FROM posting WHERE posting.entry_number = NEW.number"

GUARDS: Final = (
    Guard(
        "entry_opens_pending",
        "entry",
        "INSERT",
        "NEW.state <> 'pending' OR EXISTS (SELECT 1 FROM entry WHERE entry.id = NEW.id)"
        " OR EXISTS (SELECT 1 FROM entry WHERE entry.number = NEW.number)",
        "an entry opens as pending, once",
    ),
    Guard("entry_closes_once", "entry", "UPDATE", "OLD.state <> 'pending'", "a closed entry is immutable"),
    Guard(
        "entry_keeps_identity",
        "entry",
        "UPDATE",
        "NEW.number <> OLD.number OR NEW.id <> OLD.id OR NEW.kind <> OLD.kind"
        " OR NEW.quote_base <> OLD.quote_base OR NEW.body_hash <> OLD.body_hash"
        " OR coalesce(NEW.account_idx, 0) <> coalesce(OLD.account_idx, 0)"
        " OR coalesce(NEW.user_idx, 0) <> coalesce(OLD.user_idx, 0)"
        " OR coalesce(NEW.key_id, '') <> coalesce(OLD.key_id, '')",
        "only state and lease of an entry change",
    ),
    Guard(
        "entry_balances",
        "entry",
        "UPDATE",
        f"NEW.state = 'posted' AND (SELECT coalesce(sum(amount_base), 0) {_LEGS_OF_ENTRY}) <> 0",
        "the postings of an entry do not sum to zero",
    ),
    Guard(
        "entry_unposted_is_empty",
        "entry",
        "UPDATE",
        f"NEW.state IN ('voided', 'expired') AND EXISTS (SELECT 1 {_LEGS_OF_ENTRY})",
        "an entry with postings can only be posted",
    ),
    Guard("entry_is_kept", "entry", "DELETE", "1 = 1", "entries are never deleted"),
    Guard(
        "posting_needs_pending_entry",
        "posting",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM entry WHERE entry.number = NEW.entry_number AND entry.state = 'pending')",
        "postings belong to a pending entry",
    ),
    Guard("posting_is_immutable", "posting", "UPDATE", "1 = 1", "postings are immutable"),
    Guard("posting_is_kept", "posting", "DELETE", "1 = 1", "postings are never deleted"),
    Guard("change_is_immutable", "account_change", "UPDATE", "1 = 1", "account changes are immutable"),
    Guard("change_is_kept", "account_change", "DELETE", "1 = 1", "account changes are never deleted"),
    Guard("call_is_immutable", "call", "UPDATE", "1 = 1", "calls and their receipts are immutable"),
    Guard("call_is_kept", "call", "DELETE", "1 = 1", "calls and their receipts are never deleted"),
    Guard("attempt_is_immutable", "attempt", "UPDATE", "1 = 1", "attempts are immutable"),
    Guard("attempt_is_kept", "attempt", "DELETE", "1 = 1", "attempts are never deleted"),
    Guard("use_is_immutable", "budget_use", "UPDATE", "1 = 1", "uses of a budget are immutable"),
    Guard("use_is_kept", "budget_use", "DELETE", "1 = 1", "uses of a budget are never deleted"),
    Guard(
        "reward_vests_once",
        "reward",
        "UPDATE",
        "OLD.vested_base IS NOT NULL",
        "a vested reward is immutable",
    ),
    Guard("reward_is_kept", "reward", "DELETE", "1 = 1", "rewards are never deleted"),
    Guard("refund_is_immutable", "refund", "UPDATE", "1 = 1", "refunds are immutable"),
    Guard("refund_is_kept", "refund", "DELETE", "1 = 1", "refunds are never deleted"),
    Guard("referral_is_immutable", "referral", "UPDATE", "1 = 1", "a referrer is named once"),
    Guard("referral_is_kept", "referral", "DELETE", "1 = 1", "a referrer is named once"),
    Guard("audit_is_immutable", "audit", "UPDATE", "1 = 1", "the audit log is immutable"),
    Guard("audit_is_kept", "audit", "DELETE", "1 = 1", "the audit log is never deleted"),
    Guard("conduct_is_immutable", "conduct", "UPDATE", "1 = 1", "the log of decisions is immutable"),
    Guard("conduct_is_kept", "conduct", "DELETE", "1 = 1", "the log of decisions is never deleted"),
    Guard("switch_is_immutable", "switch", "UPDATE", "1 = 1", "what was switched is immutable"),
    Guard("switch_is_kept", "switch", "DELETE", "1 = 1", "what was switched is never deleted"),
)
"""The ledger's rules as triggers."""


def open_database(url: str, *, create: bool = True) -> Engine:
    """Opens the ledger database; creates its tables in an empty one. Several processes may do so at once.

    Args:
        url: SQLAlchemy URL, e.g. `sqlite:////var/lib/vibes/ledger.db`. SQLite runs in WAL mode and syncs
            every commit to disk but some of reservations (ADR 0016).
        create: False for who needs a ledger that is there: a mistyped address makes none then.

    Import `router.ledger` before: its tables are the ones created.

    Raises:
        UnsupportedDatabase: for anything but SQLite and PostgreSQL.
        WrongRevision: the tables are of another release.
        NoLedger: there is none.
        NotOpened: it cannot be used.
    """
    engine = connect_database(url, create=create)
    try:
        with opening():
            _make_ready(engine, create)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _make_ready(engine: Engine, create: bool) -> None:
    with writing(engine).begin() as connection:
        new = is_empty(connection)
        if new and not create:
            raise NoLedger("the database holds no ledger")
        if not new and (found := revision_of(connection)) != SCHEMA_REVISION:
            raise WrongRevision(found, SCHEMA_REVISION)
        METADATA.create_all(connection)  # whoever opens it first need not know all tables
        if new:
            for guard in GUARDS:
                for statement in guard_sql(guard, connection.dialect.name):
                    connection.execute(text(statement))
            connection.execute(
                text(f"CREATE TABLE {_VERSIONS} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            )
            connection.execute(text(f"INSERT INTO {_VERSIONS} VALUES ('{SCHEMA_REVISION}')"))  # noqa: S608


def connect_database(url: str, *, create: bool = True) -> Engine:
    """An engine for the ledger database, whatever tables it has.

    Raises:
        UnsupportedDatabase: for anything but SQLite and PostgreSQL.
        NoLedger: there is no file, and none is to be made.
        NotOpened: the URL is none, or its driver is missing.
    """
    address = parsed(url)
    dialect = address.get_backend_name()
    if dialect not in ("sqlite", "postgresql"):
        raise UnsupportedDatabase(dialect)
    prepare_file(address, create)
    # errors are logged, and parameters hold answers
    arguments = {"cached_statements": 512} if dialect == "sqlite" else {}
    with opening():
        engine = create_engine(address, hide_parameters=True, connect_args=arguments)
    refuse_other_texts(engine)
    configure_sessions(engine)
    return engine


def is_empty(connection: Connection) -> bool:
    """No ledger has been made here yet."""
    return not inspect(connection).has_table("entry")


def revision_of(connection: Connection) -> str | None:
    """The revision of the tables; None for those of the first release, which kept no revision."""
    if not inspect(connection).has_table(_VERSIONS):
        return None
    found: str | None = connection.execute(
        text(f"SELECT version_num FROM {_VERSIONS}")  # noqa: S608 (a constant)
    ).scalar_one_or_none()
    return found


class UnsupportedDatabase(ConfigError):
    """The ledger runs on SQLite and PostgreSQL only."""

    def __init__(self, dialect: str) -> None:
        super().__init__(LEDGER, f"{dialect} cannot hold the ledger: {FORMS}")
        self.dialect = dialect


class WrongRevision(ConfigError):
    """The ledger database was made by another release; None is the first, which kept no revision."""

    def __init__(self, found: str | None, wanted: str) -> None:
        if found is not None and found > wanted:
            way = f"run the newer release, or go back with its own `vibes-router db downgrade {wanted}`"
        else:
            way = "stop every router and bridge, make a backup, then run `vibes-router db upgrade`"
        super().__init__(
            LEDGER,
            f"the ledger database is at revision {found or 'of the first release'} and this program needs "
            f"{wanted}: {way}",
        )
        self.found, self.wanted = found, wanted


def guard_sql(guard: Guard, dialect: str) -> list[str]:
    """Statements that create a guard's trigger."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {guard.name} BEFORE {guard.event} ON {guard.table}"
            f" WHEN {guard.refuse} BEGIN SELECT RAISE(ABORT, '{guard.reason}'); END"
        ]
    raises = f"RAISE EXCEPTION '{guard.reason}' USING ERRCODE = 'integrity_constraint_violation'"
    create = f"CREATE OR REPLACE TRIGGER {guard.name}"
    if "SELECT" not in guard.refuse:  # the database decides without calling anything
        body = f"{raises};"
        when = f"BEFORE {guard.event} ON {guard.table} FOR EACH ROW WHEN ({guard.refuse})"
    elif f"FROM {guard.table} " in guard.refuse:  # a row is compared with those that were there before it
        body = f"IF {guard.refuse} THEN {raises}; END IF; RETURN NEW;"
        when = f"BEFORE {guard.event} ON {guard.table} FOR EACH ROW"
    else:  # once for all rows of a statement
        refuse = guard.refuse.replace("NEW.", "given.")
        body = f"IF EXISTS (SELECT 1 FROM given WHERE {refuse}) THEN {raises}; END IF; RETURN NULL;"  # noqa: S608
        when = f"AFTER {guard.event} ON {guard.table} REFERENCING NEW TABLE AS given FOR EACH STATEMENT"
    return [
        f"CREATE OR REPLACE FUNCTION {guard.name}() RETURNS trigger"
        f" AS $$ BEGIN {body} END $$ LANGUAGE plpgsql",
        f"{create} {when} EXECUTE FUNCTION {guard.name}()",
    ]


def unguard_sql(guard: Guard, dialect: str) -> list[str]:
    """Statements that drop a guard's trigger."""
    if dialect == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {guard.name}"]
    return [
        f"DROP TRIGGER IF EXISTS {guard.name} ON {guard.table}",
        f"DROP FUNCTION IF EXISTS {guard.name}()",
    ]
