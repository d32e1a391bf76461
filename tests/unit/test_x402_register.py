"""The register of x402 payments, on both databases: one call per payment, one wallet nonce per chain tx."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from router.db import open_database
from router.ledger import payments, reverts
from router.ledger.errors import PaymentMismatch, PaymentNotRefundable, TooManyReverts
from router.ledger.payment_table import PaymentState
from router.ledger.payments import Claim, PaymentView, SignedTx
from router.ledger.reverts import RevertLimits
from router.ledger.writer import Ledger

NOW_S = 1_800_000_000


def claim_of(number: int) -> Claim:
    return Claim(
        payment_id=f"{number:064x}",
        payer="0x" + "11" * 20,
        nonce=number.to_bytes(32, "big"),
        amount_base=5_000_000,
        account_idx=7,
        endpoint="/v1/chat/completions",
        body_hash=b"b" * 32,
        client_key=f"x402:{number:064x}",
        call_data=b"call",
        gas=100_000,
        from_block=3,
        now_s=NOW_S + number,
    )


def signed(nonce: int) -> SignedTx:
    return SignedTx(f"0x{nonce:064x}", nonce.to_bytes(4, "big"), 10, 1)


def claimed(ledger: Ledger, number: int) -> PaymentView:
    return ledger.run(lambda connection: payments.claim(connection, claim_of(number)))


def sent(ledger: Ledger, number: int, chain_nonce: int = 0, now_s: int = NOW_S) -> PaymentView:
    payment = claimed(ledger, number)
    return ledger.run(
        lambda connection: payments.mark_sent(connection, payment.id, chain_nonce, now_s, signed)
    )


def settled(ledger: Ledger, number: int, now_s: int = NOW_S) -> PaymentView:
    payment = sent(ledger, number)
    return ledger.run(
        lambda connection: payments.mark_settled(connection, payment.id, payment.tx_hash or "", now_s)
    )


def test_a_claim_is_for_one_call(ledger: Ledger) -> None:
    first = claimed(ledger, 1)
    assert claimed(ledger, 1) == first
    for change in ({"endpoint": "/v1/messages"}, {"body_hash": b"c" * 32}, {"call_data": b"other"}):
        other = replace(claim_of(1), **change)
        with pytest.raises(PaymentMismatch):
            ledger.run(lambda connection, other=other: payments.claim(connection, other))


def test_nonces_are_handed_out_once(ledger: Ledger) -> None:
    """The chain still says 5 to everybody."""
    assert [sent(ledger, number, chain_nonce=5).tx_nonce for number in (1, 2, 3)] == [5, 6, 7]
    assert sent(ledger, 2, chain_nonce=9).tx_nonce == 6  # it is sent already
    assert sent(ledger, 4, chain_nonce=20).tx_nonce == 20


def test_a_gap_is_filled(ledger: Ledger) -> None:
    """What is on its way is another wallet's, which the operator had before."""
    assert [sent(ledger, number, chain_nonce=7).tx_nonce for number in (1, 2)] == [7, 8]
    assert [sent(ledger, number, chain_nonce=6).tx_nonce for number in (3, 4)] == [6, 9]


def test_two_processes_hand_out_different_nonces(database: str) -> None:
    engines = [open_database(database) for _ in range(2)]
    ledgers = [Ledger(engine) for engine in engines]
    nonces: list[int | None] = []

    def work(ledger: Ledger, first: int) -> None:
        nonces.extend(sent(ledger, number).tx_nonce for number in range(first, first + 20))

    threads = [threading.Thread(target=work, args=(one, 100 * i)) for i, one in enumerate(ledgers, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for opened, engine in zip(ledgers, engines, strict=True):
        opened.close()
        engine.dispose()
    assert sorted(nonce for nonce in nonces if nonce is not None) == list(range(40))


def test_a_nonce_that_was_just_mined_is_not_handed_out_again(ledger: Ledger) -> None:
    """The chain's count was asked before the block came."""
    settled(ledger, 1, NOW_S)
    assert sent(ledger, 2, chain_nonce=0, now_s=NOW_S + 59).tx_nonce == 1


def test_a_nonce_that_the_chain_lost_is_handed_out_again(ledger: Ledger) -> None:
    """After a reorganisation, or no later payment would ever be mined."""
    settled(ledger, 1, NOW_S)
    assert sent(ledger, 2, chain_nonce=0, now_s=NOW_S + 60).tx_nonce == 0


def test_a_replacement_keeps_the_nonce_and_one_worker_makes_it(ledger: Ledger) -> None:
    old = sent(ledger, 1)
    dearer = replace(signed(0), tx_hash="0xdearer")
    new = ledger.run(lambda c: payments.mark_replaced(c, old, NOW_S + 50, lambda nonce: dearer))
    assert (new.tx_nonce, new.tx_hash, new.sent_s) == (old.tx_nonce, "0xdearer", NOW_S + 50)
    late = ledger.run(lambda c: payments.mark_replaced(c, old, NOW_S + 51, signed))
    assert late == new
    assert ledger.run(lambda c: payments.mark_unsent(c, old, "late")) == new


def test_a_payment_that_could_not_be_sent_may_be_sent_anew(ledger: Ledger) -> None:
    old = sent(ledger, 1)
    back = ledger.run(lambda c: payments.mark_unsent(c, old, "its nonce is taken"))
    assert (back.state, back.note, back.tx_nonce) == (PaymentState.CLAIMED, "its nonce is taken", None)
    assert sent(ledger, 1, chain_nonce=8).tx_nonce == 8


def test_a_payment_that_reverted_is_not_sent_again(ledger: Ledger) -> None:
    old = sent(ledger, 1)
    back = ledger.run(lambda c: payments.mark_unsent(c, old, payments.REVERTED))
    assert back.reverted
    assert sent(ledger, 1) == back


def within(ledger: Ledger, number: int, limits: RevertLimits, now_s: int, **of: Any) -> PaymentView:
    """Sends a payment within limits."""
    known = ledger.run(lambda c: payments.claim(c, replace(claim_of(number), now_s=now_s, **of)))
    return ledger.run(lambda c: reverts.mark_sent(c, known, limits, 0, now_s, signed))


def revert(ledger: Ledger, payment: PaymentView) -> PaymentView:
    return ledger.run(lambda c: payments.mark_unsent(c, payment, payments.REVERTED))


def test_a_payer_whose_payments_revert_waits_a_day(ledger: Ledger) -> None:
    limits = RevertLimits(payer=2, contracts=9)
    for number in (1, 2):
        revert(ledger, within(ledger, number, limits, NOW_S + number))
    with pytest.raises(TooManyReverts) as told:
        within(ledger, 3, limits, NOW_S + 100)
    assert told.value.wait_s == reverts.WINDOW_S - 99
    within(ledger, 4, limits, NOW_S + 100, payer="0x" + "22" * 20)
    assert within(ledger, 5, limits, NOW_S + 1 + reverts.WINDOW_S).state == PaymentState.SENT


def test_contracts_are_counted_together_and_on_their_way(ledger: Ledger) -> None:
    limits, by_contract = RevertLimits(payer=9, contracts=2), {"note": payments.BY_CONTRACT}
    first, second = (
        within(ledger, number, limits, NOW_S, payer=f"0x{number:040x}", **by_contract) for number in (1, 2)
    )
    for outcome in (lambda: None, lambda: revert(ledger, first)):
        outcome()
        with pytest.raises(TooManyReverts):
            within(ledger, 3, limits, NOW_S, **by_contract)
    with pytest.raises(TooManyReverts):
        within(ledger, 3, RevertLimits(payer=9, contracts=0), NOW_S, **by_contract)
    within(ledger, 4, limits, NOW_S)  # of a key
    ledger.run(lambda c: payments.mark_settled(c, second.id, "0x2", NOW_S))
    within(ledger, 3, limits, NOW_S, **by_contract)


def test_only_a_settled_unused_payment_is_refunded(ledger: Ledger) -> None:
    payment = settled(ledger, 1)
    claimed(ledger, 2)
    sent(ledger, 3)
    for number in (2, 3, 4):
        with pytest.raises(PaymentNotRefundable):
            ledger.run(lambda c, n=number: payments.mark_refunded(c, f"{n:064x}", "by hand"))
    assert [row.id for row, _ in ledger.read(lambda c: payments.payments(c, unused=True))] == [payment.id]
    done = ledger.run(lambda c: payments.mark_refunded(c, payment.id, "by hand"))
    assert (done.state, done.note) == (PaymentState.REFUNDED, "by hand")
    assert ledger.read(lambda c: payments.payments(c, unused=True)) == []
    assert [row.id for row in ledger.read(lambda c: payments.sent_payments(c, 9))] == [f"{3:064x}"]
