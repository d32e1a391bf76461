"""How commands of `vibes` end, and where their settings come from."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from bridge.config import BridgeSettings, read_settings
from bridge.errors import BridgeError, NotLeader, RpcUnavailable, SettlementPaused
from bridge.rollup.errors import InvalidTransition
from mini_llm.errors import ConfigError
from router.ledger import LedgerError

ENVIRONMENT = """\b
Environment:
  VIBES_RPC_URL            JSON-RPC endpoint of the settlement chain
  VIBES_SETTLEMENT         address of the Settlement contract
  VIBES_LEDGER_URL         SQLAlchemy URL of the router's ledger
  VIBES_BRIDGE_URL         SQLAlchemy URL of the bridge's own store
  VIBES_OPERATOR_KEY_FILE  file with the operator's hex private key (settle)
  VIBES_CIRCUITS_DIR       proving artefacts (default build/circuits)
  VIBES_CHAIN_ID           refuse any other chain (default: the node's)
  VIBES_CONFIRMATIONS      blocks on top (default 0 on a local chain, else 12)
  VIBES_START_BLOCK        block of the deployment (default 0)
  VIBES_TX_TYPE            legacy, eip1559 or auto (default)
  VIBES_MAX_FEE_GWEI, VIBES_STUCK_S, VIBES_MINING_TIMEOUT_S
                           how transactions are paid, replaced and waited for
  VIBES_PROVER_WORKERS, VIBES_PROVER_SCHEDULER
                           how many prove, and where
  VIBES_MAX_LAG_S, VIBES_MAX_QUEUE_AGE_S, VIBES_MIN_DEADLINE_S,
  VIBES_MAX_BATCH_AGE_S, VIBES_MIN_OPERATOR_GWEI
                           from when on something is wrong (status)
  docs/operations.md has what each means and its default.

\b
Exit codes: 0 done, 1 failed or refused, 2 bad usage or settings,
3 the node does not answer (nothing is lost: run it again),
4 status: something is wrong, 5 settle --once: another process settles,
6 settle --once: the contract is paused."""

EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_UNHEALTHY, EXIT_NOT_LEADER, EXIT_PAUSED = 1, 2, 3, 4, 5, 6


def exit_codes(command: Callable[..., None]) -> Callable[..., None]:
    """Turns the project's own errors into one line on stderr and a documented exit code."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ConfigError as error:
            _fail(error, EXIT_USAGE)
        except RpcUnavailable as error:
            _fail(error, EXIT_UNREACHABLE)
        except NotLeader as error:
            _fail(error, EXIT_NOT_LEADER)
        except SettlementPaused as error:
            _fail(error, EXIT_PAUSED)
        except (BridgeError, InvalidTransition, LedgerError) as error:
            _fail(error, EXIT_FAILED)

    return wrapped


def _fail(error: Exception, code: int) -> None:
    click.echo(f"vibes: {error}", err=True)
    raise SystemExit(code)


def settings_of_environment() -> BridgeSettings:
    """The settings of the environment. Raises ConfigError."""
    return read_settings(os.environ)
