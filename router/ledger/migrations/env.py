"""What Alembic runs: all revisions on the connection, and in the transaction, of `router.ledger.schema`."""

from alembic import context

from router.db import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
