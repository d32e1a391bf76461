"""Executable specification of the rollup: tree, slots, batches, receipts. Pure: no database, no network."""
