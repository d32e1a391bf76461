"""`vibes exit`: gets an account's money out with nothing but a node."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from eth_utils.address import is_address, to_checksum_address
from web3.exceptions import Web3Exception

from bridge.chain.client import ChainClient
from bridge.chain.settlement import SettlementContract
from bridge.errors import BridgeError, RpcUnavailable, printable
from bridge.exit.errors import KeyNeeded, OwnerKeyNeeded
from bridge.exit.leave import Leaving, Left
from bridge.progress import progress_bars
from bridge.rollup.errors import InvalidTransition
from mini_llm.errors import ConfigError
from mini_llm.wallet.keyfile import BadKeyFile, read_wallet_key
from mini_llm.wallet.money import vibes

TIMEOUT_S: Final = 30
FAILED, USAGE, UNREACHABLE, WAITING = 1, 2, 3, 4

EPILOG = """\b
Exit codes: 0 nothing is left in the contract (or a dry run was made),
1 failed or refused, 2 bad usage or the wrong key, 3 the node does not answer or
answers nonsense, 4 a deadline has to pass first: run it again after the time that it printed."""


@click.command("exit", epilog=EPILOG)
@click.option("--rpc", required=True, metavar="URL", help="HTTP URL of any node of the chain.")
@click.option("--settlement", required=True, metavar="ADDRESS", help="The settlement contract.")
@click.option(
    "--key-file", "--key", envvar="VIBES_EXIT_KEY_FILE", metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A keystore, or a hex private key that only you can read: the owner's, or with --owner that of "
    "whoever pays the gas. Also VIBES_EXIT_KEY_FILE.",
)  # fmt: skip
@click.option("--owner", metavar="ADDRESS", help="Whose account it is [default: the key's].")
@click.option(
    "--circuits", envvar="VIBES_CIRCUITS_DIR", default="build/circuits", show_default=True, metavar="DIR",
    type=click.Path(path_type=Path), help="Folder with the exit circuit. Also VIBES_CIRCUITS_DIR.",
)  # fmt: skip
@click.option("--from-block", default=0, show_default=True, type=click.IntRange(min=0),
              help="First block to read, not after the contract's deployment.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Stay through the deadlines until everything is paid.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent next and its gas; send nothing.")
@click.option("--json", "as_object", is_flag=True, help="Print one JSON object.")
def exit_command(
    rpc: str,
    settlement: str,
    key_file: Path | None,
    owner: str | None,
    circuits: Path,
    from_block: int,
    wait: bool,
    dry_run: bool,
    as_object: bool,
) -> None:
    """Get an account's money out without the operator.

    Makes every step that can be made now: asks for a withdrawal, and once the operator's time for it is over
    freezes the account, proves its balance from the batches on chain and has it paid; what was never put into
    a batch is taken back. Run it again at any time: it looks at the contract, not at what it did before.

    \b
    Examples:
      vibes exit --rpc URL --settlement ADDRESS --key-file my.key
      vibes exit --rpc URL --settlement ADDRESS --key-file my.key --dry-run
      vibes exit --rpc URL --settlement ADDRESS --owner ADDRESS --key-file payer.key

    Where no file has the key, as with a hardware wallet: `--owner ADDRESS --dry-run --json` tells the next
    call as a transaction for that wallet (`to`, `data`, `value`).
    """
    try:
        key = _read_key(key_file)
        whose = _address("--owner", owner) if owner else key.address if key else None
        if whose is None:
            raise ConfigError("--key-file", "is needed, or --owner")
        client = ChainClient(rpc, TIMEOUT_S)
        contract = SettlementContract(client, _address("--settlement", settlement))
        with progress_bars() as progress:
            leaving = Leaving(contract, whose, key, circuits, from_block, progress, _say)
            left = leaving.run(dry_run, wait)
    except (BridgeError, ConfigError, InvalidTransition) as error:
        _fail(str(error), _code(error), as_object)
    except (Web3Exception, AttributeError, LookupError, TypeError, ValueError) as error:
        # a malformed answer can raise any of these in web3 and eth_abi
        _fail(f"the node gave an unusable answer: {type(error).__name__}: {error}", UNREACHABLE, as_object)
    click.echo(json.dumps(as_json(left)) if as_object else as_text(left))
    sys.exit(WAITING if left.waiting else 0)


def as_json(left: Left) -> dict[str, Any]:
    """One object; amounts in base units, times in unix seconds. `state` is done, waiting or planned."""
    standing, planned = left.standing, left.planned
    return {
        "state": "planned" if planned else "waiting" if left.waiting else "done",
        "owner": standing.owner,
        "account": standing.idx,
        "status": standing.status.name.lower(),
        "balance_base": standing.balance_base,
        "pending_deposit_base": standing.pending_deposit_base,
        "withdrawable_base": standing.withdrawable_base,
        "paid_base": left.paid_base,
        "waiting_until_s": left.waiting.until_s if left.waiting else None,
        "sent": [{"function": sent.function, "tx_hash": sent.tx_hash, "gas": sent.gas} for sent in left.sent],
        "next": {
            "function": planned[0].function,
            "arguments": list(planned[0].arguments),
            "to": planned[1].transaction["to"],
            "data": planned[1].transaction["data"],
            "value": "0",
            "gas": planned[1].gas,
            "cost_wei": planned[1].cost_wei,
        }
        if planned
        else None,
    }


def as_text(left: Left) -> str:
    """Where the account stands, what was sent, and what comes next."""
    standing = left.standing
    lines = [
        f"account {standing.idx} of {standing.owner}: {standing.status.name.lower()}",
        f"  in the tree      {vibes(standing.balance_base):>20} VIBES",
        f"  pending deposit  {vibes(standing.pending_deposit_base):>20} VIBES",
        f"  withdrawable     {vibes(standing.withdrawable_base):>20} VIBES",
    ]
    lines += [f"sent {sent.function} in {sent.tx_hash}, {sent.gas:,} gas" for sent in left.sent]
    if left.paid_base:
        lines.append(f"paid {vibes(left.paid_base)} VIBES to {standing.owner}")
    if left.planned:
        step, call = left.planned
        arguments = ", ".join(map(str, step.arguments))
        lines.append(f"next: {step.function}({arguments}), {call.gas:,} gas, at most {call.cost_wei:,} wei")
        lines.append("dry run: nothing was sent")
    elif left.waiting:
        when = datetime.fromtimestamp(left.waiting.until_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines.append(f"waiting until {when}: {left.waiting.what}; run this again then")
    else:
        lines.append("done: nothing is left in the contract")
    return "\n".join(lines)


def _fail(reason: str, code: int, as_object: bool) -> NoReturn:
    if as_object:
        click.echo(json.dumps({"state": "failed", "error": reason}))
    click.echo(f"vibes: {printable(reason)}", err=True)
    sys.exit(code)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _code(error: Exception) -> int:
    if isinstance(error, ConfigError | KeyNeeded | OwnerKeyNeeded):
        return USAGE
    return UNREACHABLE if isinstance(error, RpcUnavailable) else FAILED


def _address(name: str, value: str) -> ChecksumAddress:
    if not is_address(value):
        raise ConfigError(name, f"is no address: {value!r}")
    return to_checksum_address(value)


def _read_key(path: Path | None) -> LocalAccount | None:
    if path is None:
        return None
    try:
        return read_wallet_key(path, _password)
    except BadKeyFile as error:
        raise ConfigError("--key-file", str(error)) from None


def _password() -> str:
    """The keystore's: of the environment for programs, else asked for."""
    given = os.environ.get("VIBES_EXIT_PASSWORD")
    return given or str(click.prompt("Password of the keystore", hide_input=True, err=True))
