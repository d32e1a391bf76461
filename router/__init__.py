"""The gateway: OpenAI-compatible HTTP surface, metering and the double-entry ledger behind it."""
