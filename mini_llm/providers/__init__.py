"""Providers: one small class per wire protocol, one registry row per company."""
