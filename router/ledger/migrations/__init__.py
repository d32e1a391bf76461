"""Alembic migrations of the ledger database; `router.ledger.schema` runs them."""
