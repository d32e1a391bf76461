"""Makes what a measured router needs: configuration, receipt key, a ledger with a rich account, an API key.

    python benchmarks/gateway_setup.py FOLDER UPSTREAM_URL LEDGER_URL

writes router.json, receipt.key, api.key and environment (for a shell to source) into FOLDER. A ledger that
has the account already is left as it is, so that a soak can go on.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from mini_llm.wallet.babyjub import public_key
from mini_llm.wallet.ceiling import key_commitment, settlement_domain, sign_ceiling
from router.ledger import (
    Grant,
    Ledger,
    UnknownAccount,
    check_ceiling,
    create_api_key,
    credit_deposit,
    open_account,
    open_database,
    read,
    request_key,
    store_ceiling,
)

CHAIN_ID = 31337
SETTLEMENT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
ACCOUNT = 1
RICH_BASE = 10**16
SESSION_SECRET = 7_000_001
MODELS = ("mock", "mock-d50-c50-g10", "mock-d500")


def main() -> None:
    folder, upstream_url, ledger_url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "router.json").write_text(json.dumps(configuration(upstream_url)))
    (folder / "receipt.key").write_text("0x" + "11" * 32)
    environment = {
        "VIBES_CONFIG": str(folder / "router.json"),
        "VIBES_LEDGER_URL": ledger_url,
        "VIBES_CHAIN_ID": str(CHAIN_ID),
        "VIBES_SETTLEMENT": SETTLEMENT,
        "VIBES_RECEIPT_KEY_FILE": str(folder / "receipt.key"),
    }
    exports = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    (folder / "environment").write_text("".join(exports))
    engine = open_database(ledger_url)
    with Ledger(engine) as ledger:
        try:
            ledger.read(lambda connection: read.account_view(connection, ACCOUNT))
        except UnknownAccount:
            fund(ledger)
        made = ledger.run(lambda connection: create_api_key(connection, ACCOUNT, "benchmark", grant=Grant()))
        (folder / "api.key").write_text(made.secret)
    engine.dispose()


def configuration(upstream_url: str) -> dict[str, object]:
    """One provider, one partner, priced models."""
    deployment = {
        "provider": "mock",
        "partner": 1,
        "prompt_usd_per_mtok": "0.15",
        "completion_usd_per_mtok": "0.60",
        "context_tokens": 8_192,
        "max_output_tokens": 1_024,
    }
    return {
        "partners": [{"id": 1, "name": "mock-labs", "bps": 3_000}],
        "providers": {"mock": {"base_url": upstream_url}},
        "deployments": [deployment | {"model": model} for model in MODELS],
    }


def fund(ledger: Ledger) -> None:
    """Opens the account with more money than any run spends."""
    place = settlement_domain(CHAIN_ID, SETTLEMENT)
    ledger.run(lambda connection: open_account(connection, ACCOUNT, f"0x{ACCOUNT:040x}"))
    commitment = key_commitment(public_key(SESSION_SECRET))
    ledger.run(lambda connection: request_key(connection, ACCOUNT, commitment, "benchmark-key"))
    ledger.run(lambda connection: credit_deposit(connection, ACCOUNT, RICH_BASE, "benchmark-deposit"))
    signed = check_ceiling(place, sign_ceiling(SESSION_SECRET, place, ACCOUNT, RICH_BASE))
    ledger.run(lambda connection: store_ceiling(connection, signed))


if __name__ == "__main__":
    main()
