"""The program `vibes`: all of it is in `bridge.cli`, which is loaded when it is called.

A worker process imports the module that its parent was started from. The prover's workers would load all of
the bridge to make a proof, which takes a second.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command line."""
    from bridge.cli import main as run

    run()
