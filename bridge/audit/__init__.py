"""The audit: everything that the rails claim, checked from a node and a receipts export alone."""

from bridge.audit.command import audit_command

__all__ = ["audit_command"]
