"""Checks one partner's proof bundles: its receipts of each batch, and that they are in the batch's tree.

With them a partner needs no receipts of others: the router gives bundles to anybody. What they do not show is
what is behind a receipt's digest. Source: docs/protocol.md (proof bundles).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any, Final

import requests
from urllib3.exceptions import HTTPError

from bridge.audit.chain import CannotAudit
from bridge.audit.checks import OF_BUNDLES, Mismatch, Place, Tally
from bridge.audit.replay import Batch
from bridge.progress import Progress
from mini_llm.wallet.receipt import ReceiptDomain
from mini_llm.wallet.receipts_tree import InvalidReceiptLeaf, MisplacedSubtree, ReceiptsTree, Subtree

FORMAT: Final = "vibes-partner-bundle/1"
MAX_LINE_BYTES: Final = 4096
"""Longest line of a bundle; its first one, with every field at its widest, needs less than 1,000."""
TIMEOUT_S: Final = 30
AS_IT_IS: Final = {"accept-encoding": "identity"}


@dataclass
class Bundles:
    """How many receipts the bundles of a partner prove, and their charges in base units."""

    receipts: int = 0
    charged_base: int = 0


@contextmanager
def bundle_lines(place: str, partner_id: int, number: int) -> Iterator[Iterator[bytes]]:
    """A bundle's lines; one that is too long is cut off, so that it is none.

    Args:
        place: a router's URL, or a folder with a file `N.jsonl` for each batch.
        partner_id: whose it is.
        number: of the batch.

    Raises:
        CannotAudit: it is not to be had.
    """
    try:
        if not place.startswith(("http://", "https://")):
            with (Path(place) / f"{number}.jsonl").open("rb") as file:
                yield _lines(file)
            return
        url = f"{place.rstrip('/')}/partners/{partner_id}/batches/{number}.jsonl"
        with closing(requests.get(url, stream=True, timeout=TIMEOUT_S, headers=AS_IT_IS)) as answer:
            answer.raise_for_status()
            answer.raw.auto_close = False  # at its end, where a reader of lines still asks for more
            yield _lines(BufferedReader(answer.raw))
    except (OSError, HTTPError) as error:  # an error of the stream is no OSError
        raise CannotAudit(f"the bundle of batch {number}: {error}") from error


def check_bundles(
    place: str,
    domain: ReceiptDomain,
    partner_id: int,
    batches: Sequence[Batch],
    tally: Tally,
    progress: Progress,
) -> Bundles:
    """Checks the bundle of each batch in which the partner earned.

    Args:
        place: where the bundles are, see `bundle_lines`.
        domain: chain and contract that they must be about.
        partner_id: whose.
        batches: settled batches.
        tally: counts the checks.
        progress: told how many bundles are checked.

    Raises:
        CannotAudit: a bundle is not to be had.
        Mismatch: the first that does not prove what the chain says.
    """
    found = Bundles()
    earning = [batch for batch in batches if partner_id in batch.partner_gross_base]
    for done, batch in enumerate(earning, start=1):
        with bundle_lines(place, partner_id, batch.number) as lines:
            _check(lines, domain, partner_id, batch, tally, found)
        progress("bundles", done, len(earning))
    return found


def _lines(file: BufferedReader) -> Iterator[bytes]:
    return iter(lambda: file.readline(MAX_LINE_BYTES), b"")


def _check(
    lines: Iterator[bytes], domain: ReceiptDomain, partner_id: int, batch: Batch, tally: Tally, found: Bundles
) -> None:
    place = batch.place.of(f"bundle of partner {partner_id}")
    head = {
        "format": FORMAT, "chain_id": domain.chain_id, "settlement": domain.settlement.lower(),
        "batch": batch.number, "partner": partner_id,
    }  # fmt: skip
    tally.equal(OF_BUNDLES, place, head, _head(place, lines, head))
    tree, gross_base = ReceiptsTree(), 0
    for number, line in enumerate(lines, start=2):
        charge_base = _add(tree, place.of(f"{place.subject}, line {number}"), line)
        if charge_base is not None:
            found.receipts += 1
            gross_base += charge_base
        if tree.total_base > batch.gross_base:  # each line adds to it, so that no bundle goes on for ever
            break
    root, total_base = tree.root
    tally.equal(OF_BUNDLES, place.of(f"{place.subject}, total"), batch.gross_base, total_base)
    tally.equal(OF_BUNDLES, place.of(f"{place.subject}, root"), batch.receipts_root, root)
    tally.equal(
        OF_BUNDLES, place.of(f"{place.subject}, charges"), batch.partner_gross_base[partner_id], gross_base
    )
    found.charged_base += gross_base


def _head(place: Place, lines: Iterator[bytes], expected: dict[str, Any]) -> dict[str, Any]:
    told = _value(place, next(islice(lines, 1), b""))
    if not isinstance(told, dict):
        raise Mismatch(OF_BUNDLES, place, "what the bundle is about", told)
    return {
        name: value.lower() if name == "settlement" and isinstance(value, str) else value
        for name, value in told.items()
        if name in expected
    }


def _add(tree: ReceiptsTree, place: Place, line: bytes) -> int | None:
    """Adds what a line tells; the charge if it is a receipt of the partner."""
    told = _value(place, line)
    try:
        *level, hash_hex, amount = told
        node = bytes.fromhex(hash_hex.removeprefix("0x")), int(amount, 10)  # with a base, of text only
        if len(node[0]) != 32 or node[1] < 1 or len(level) > 1 or not all(type(one) is int for one in level):
            raise ValueError
        if level:
            tree.add_subtree(Subtree(level[0], node))
            return None
        tree.add(node)
    except (InvalidReceiptLeaf, MisplacedSubtree) as error:
        raise Mismatch(OF_BUNDLES, place, "a part of the tree", str(error)) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise Mismatch(OF_BUNDLES, place, "a receipt or a subtree", told) from error
    return node[1]


def _value(place: Place, line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Mismatch(OF_BUNDLES, place, "a JSON value", line[:80].decode(errors="replace")) from error
