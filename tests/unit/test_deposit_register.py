"""The register's deposits on both databases: taken once, so many a day, and no payments of calls."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from eth_utils.address import to_checksum_address

from router.ledger import chain, deposits, payments
from router.ledger.deposits import WINDOW_S, DepositLimits
from router.ledger.errors import PaymentNotRefundable, TooManyDeposits
from router.ledger.payment_table import PaymentState
from router.ledger.payments import Claim, PaymentView, SignedTx
from router.ledger.writer import Ledger

NOW_S = 1_800_000_000
PAYER, OTHER = "0x" + "ab" * 20, "0x" + "22" * 20
SETTLEMENT = "0x" + "33" * 20
LIMITS = DepositLimits(wallet=2, all=3, newcomers=3)


def deposit_of(number: int, payer: str = PAYER, now_s: int = NOW_S) -> Claim:
    return Claim(
        payment_id=f"{number:064x}",
        payer=payer,
        nonce=number.to_bytes(32, "big"),
        amount_base=5_000_000,
        account_idx=0,
        endpoint="/v1/deposits",
        body_hash=b"b" * 32,
        client_key=f"{number:064x}",
        call_data=b"call",
        gas=100_000,
        from_block=3,
        now_s=now_s,
        settlement=SETTLEMENT,
    )


def signed(nonce: int) -> SignedTx:
    return SignedTx(f"0x{nonce:064x}", nonce.to_bytes(4, "big"), 10, 1)


def take(ledger: Ledger, claim: Claim, limits: DepositLimits = LIMITS) -> PaymentView:
    return ledger.run(lambda connection: deposits.take_deposit(connection, claim, limits, 7, signed))


def test_a_deposit_is_claimed_and_signed_in_one_step_and_taken_once(ledger: Ledger) -> None:
    first = take(ledger, deposit_of(1))
    assert (first.state, first.tx_nonce, first.settlement) == (PaymentState.SENT, 7, SETTLEMENT)
    assert take(ledger, replace(deposit_of(1), now_s=NOW_S + 5)) == first


def test_parallel_deposits_share_no_nonce_and_pass_no_limit(ledger: Ledger) -> None:
    refused: list[Exception] = []

    def deposit(number: int) -> None:
        try:
            take(ledger, deposit_of(number, f"0x{number:040x}"))
        except TooManyDeposits as error:
            refused.append(error)

    threads = [threading.Thread(target=deposit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent = ledger.read(lambda connection: payments.sent_payments(connection, 100))
    assert [payment.tx_nonce for payment in sent] == [7, 8, 9]
    assert len(refused) == 5


def test_a_deposit_and_a_payment_of_a_call_share_the_line_of_nonces(ledger: Ledger) -> None:
    call = replace(deposit_of(50), settlement=None, endpoint="/v1/chat/completions")
    ledger.run(lambda connection: payments.claim(connection, call))
    ledger.run(lambda connection: payments.mark_sent(connection, call.payment_id, 7, NOW_S, signed))
    assert take(ledger, deposit_of(1)).tx_nonce == 8
    assert [row.id for row, _ in ledger.read(payments.payments)] == [call.payment_id]


def test_limits_count_a_day_and_failed_ones_too(ledger: Ledger) -> None:
    first = take(ledger, deposit_of(1))
    failed = ledger.run(lambda connection: payments.mark_unsent(connection, first, "it reverted"))
    assert failed.state == PaymentState.CLAIMED
    take(ledger, deposit_of(2))
    with pytest.raises(TooManyDeposits) as of_wallet:
        take(ledger, deposit_of(3))
    assert (of_wallet.value.limit, of_wallet.value.of_wallet) == (2, True)
    take(ledger, deposit_of(4, OTHER))
    with pytest.raises(TooManyDeposits) as of_all:
        take(ledger, deposit_of(5, OTHER))
    assert (of_all.value.limit, of_all.value.of_wallet) == (3, False)
    assert take(ledger, deposit_of(6, now_s=NOW_S + WINDOW_S)).state == PaymentState.SENT


def test_a_part_of_the_day_is_kept_for_wallets_that_have_an_account(ledger: Ledger) -> None:
    limits = DepositLimits(wallet=2, all=3, newcomers=1)
    take(ledger, deposit_of(1, OTHER), limits)
    with pytest.raises(TooManyDeposits) as newcomer:
        take(ledger, deposit_of(2), limits)
    assert (newcomer.value.limit, newcomer.value.of_wallet) == (1, False)
    ledger.run(lambda connection: chain.open_account(connection, 5, to_checksum_address(PAYER)))
    take(ledger, deposit_of(2), limits)
    take(ledger, deposit_of(3), limits)
    with pytest.raises(TooManyDeposits) as known:
        take(ledger, deposit_of(4), limits)
    assert known.value.of_wallet


def test_a_failed_deposit_is_not_sent_again(ledger: Ledger) -> None:
    first = take(ledger, deposit_of(1))
    ledger.run(lambda connection: payments.mark_unsent(connection, first, "it reverted"))
    again = take(ledger, deposit_of(1))
    assert (again.state, again.note, again.tx_hash) == (PaymentState.CLAIMED, "it reverted", None)


def test_a_wallet_sees_its_own_deposits_only(ledger: Ledger) -> None:
    mine = [take(ledger, deposit_of(1)), take(ledger, deposit_of(2, now_s=NOW_S + 1))]
    theirs = take(ledger, deposit_of(3, OTHER))
    listed = ledger.read(
        lambda connection: deposits.deposits_of(connection, PAYER.upper().replace("X", "x"), 10)
    )
    assert listed == mine[::-1]
    found = ledger.read(lambda connection: deposits.find_deposit(connection, PAYER, theirs.id))
    assert found is None


def test_a_deposit_is_not_refunded_here(ledger: Ledger) -> None:
    taken = take(ledger, deposit_of(1))
    ledger.run(lambda connection: payments.mark_settled(connection, taken.id, "0x1", NOW_S))
    with pytest.raises(PaymentNotRefundable, match="a deposit"):
        ledger.run(lambda connection: payments.mark_refunded(connection, taken.id, "note"))
