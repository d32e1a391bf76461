"""The double-entry ledger: every account's money, every call's charge, every receipt.

`Ledger` (writer.py) runs operations in group commits. Those on calls (reservations.py, releases.py,
charges.py) are values that a whole group decides and writes together (calls.py, group.py). All others are
plain functions of a connection: chain.py for what happens on chain, keys.py for API keys, ceilings.py for
spending ceilings, settled.py for what the bridge tells; batches.py, read.py and books.py for reading.
post.py alone writes entries and postings.

    engine = open_database("sqlite:///ledger.db")
    with Ledger(engine) as ledger:
        ledger.run(lambda connection: open_account(connection, 1, owner))
        view = ledger.read(lambda connection: account_view(connection, 1))
"""

from router.db import open_database
from router.ledger import audit as audit
from router.ledger import batch_tables as batch_tables
from router.ledger import call_models as call_models
from router.ledger import conducted as conducted
from router.ledger import mirror_tables as mirror_tables
from router.ledger import models as models
from router.ledger import offers as offers
from router.ledger import pacing as pacing
from router.ledger import payment_table as payment_table
from router.ledger import probe as probe
from router.ledger import reward_tables as reward_tables
from router.ledger import switches as switches  # these register the tables of open_database
from router.ledger import usage_tables as usage_tables
from router.ledger.books import book_errors, ledger_errors, trial_balance
from router.ledger.ceilings import check_ceiling, store_ceiling
from router.ledger.chain import (
    credit_deposit,
    open_account,
    request_key,
)
from router.ledger.charges import CallFacts, Charge, PostedCharge
from router.ledger.errors import (
    AccountClosed,
    AccountInDeficit,
    AccountPaused,
    AmountOutOfRange,
    BudgetExceeded,
    CeilingRejected,
    EntryClosed,
    IdempotencyMismatch,
    InFlight,
    InsufficientFunds,
    LedgerClosed,
    LedgerError,
    LedgerMismatch,
    UnknownAccount,
    UnknownEntry,
)
from router.ledger.grants import Grant
from router.ledger.group import AttemptFacts
from router.ledger.keys import create_api_key, hash_api_key, revoke_api_key
from router.ledger.record import Applied, reverse
from router.ledger.releases import Release, Renewal, expire_lapsed
from router.ledger.reservations import Budget, Replay, Reservation, Reserved
from router.ledger.settled import BatchFacts
from router.ledger.shares import Terms
from router.ledger.views import (
    AccountView,
    ReceiptSigner,
    StoredAnswer,
)
from router.ledger.writer import Ledger

__all__ = [
    "AccountClosed",
    "AccountInDeficit",
    "AccountPaused",
    "AccountView",
    "AmountOutOfRange",
    "Applied",
    "AttemptFacts",
    "BatchFacts",
    "Budget",
    "BudgetExceeded",
    "CallFacts",
    "CeilingRejected",
    "Charge",
    "EntryClosed",
    "Grant",
    "IdempotencyMismatch",
    "InFlight",
    "InsufficientFunds",
    "Ledger",
    "LedgerClosed",
    "LedgerError",
    "LedgerMismatch",
    "PostedCharge",
    "ReceiptSigner",
    "Release",
    "Renewal",
    "Replay",
    "Reservation",
    "Reserved",
    "StoredAnswer",
    "Terms",
    "UnknownAccount",
    "UnknownEntry",
    "book_errors",
    "check_ceiling",
    "create_api_key",
    "credit_deposit",
    "expire_lapsed",
    "hash_api_key",
    "ledger_errors",
    "open_account",
    "open_database",
    "request_key",
    "reverse",
    "revoke_api_key",
    "store_ceiling",
    "trial_balance",
]
