"""Leaving without the operator: a node, the contract's address and the exit circuit are all it takes."""

from bridge.exit.command import exit_command

__all__ = ["exit_command"]
