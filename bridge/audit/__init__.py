"""The audit: everything that the rails claim, checked from a node and a receipts export alone."""
