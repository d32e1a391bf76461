"""Compares the contract's own views, and the tokens it holds, with what the replay says they should be."""

from __future__ import annotations

from bridge.audit.chain import Chain
from bridge.audit.checks import Place, Tally
from bridge.audit.replay import Replay
from bridge.chain import Status
from bridge.progress import Progress


def check_views(chain: Chain, replay: Replay, tally: Tally, progress: Progress) -> None:
    """Checks root, batch count, totals, and every account and partner account at the audited block.

    Raises:
        Mismatch: the first view that differs.
    """
    facts, head = chain.facts, Place(chain.head)
    tally.equal("batch order", head.of("batchNumber"), len(replay.batches), facts.batch_number)
    tally.equal("root chain", head.of("stateRoot"), replay.state.root, facts.state_root)
    _check_roles(chain, replay, tally)
    for name, expected in totals(replay).items():
        actual = getattr(chain.view("totals"), name)
        tally.equal("contract views", head.of(f"totals().{name}"), expected, actual)
    _check_partners(chain, replay, tally)
    tally.equal("contract views", head.of("nextIdx"), len(replay.accounts.records) + 1, facts.next_idx)
    _check_accounts(chain, replay, tally, progress)


def _check_roles(chain: Chain, replay: Replay, tally: Tally) -> None:
    facts, head = chain.facts, Place(chain.head)
    signer = replay.signers[-1] if replay.signers else "none"
    tally.equal("roles", head.of("receiptSigner"), signer, facts.receipt_signer)
    tally.equal("roles", head.of("operator"), replay.operator, facts.operator)
    tally.equal("roles", head.of("guardian"), replay.guardian, facts.guardian)
    tally.equal("roles", head.of("owner of the partner registry"), facts.owner, chain.registry_owner())
    delay_s, leaving_s = chain.delay_s(), facts.leaving_s
    long_enough = delay_s >= leaving_s
    tally.require("roles", head.of("delay of the timelock"), long_enough, f"at least {leaving_s} s", delay_s)
    tally.equal("pauses", head.of("paused"), replay.accounts.paused, facts.paused)
    anyone = any(record.frozen_root for record in replay.accounts.records.values())
    tally.equal("freezes", head.of("anyFrozen"), anyone, facts.any_frozen)


def totals(replay: Replay) -> dict[str, int]:
    """`ISettlement.Totals` as the replay has them, base units."""
    money, facts = replay.money, replay.chain.facts
    return {
        "gross": money.gross_base,
        "burned": money.part(facts.burn_bps),
        "partners": sum(partner.earned_base for partner in money.partners.values()),
        "fee": money.part(facts.fee_bps),
        "pool": money.part(facts.pool_bps),
        "treasury": money.treasury_base,
        "rewards": money.rewards_base,
        "feePaid": money.fee_paid_base,
        "treasuryPaid": money.treasury_paid_base,
    }


def liabilities(replay: Replay) -> dict[str, int]:
    """What the contract owes, base units."""
    sums, records = totals(replay), replay.accounts.records.values()
    exited = [idx for idx, record in replay.accounts.records.items() if record.status is Status.EXITED]
    in_tree = sum(account.balance for account in replay.state.accounts.values())
    return {
        "balances": in_tree - sum(replay.state.accounts[idx].balance for idx in exited),
        "pending_deposits": sum(record.pending_deposit for record in records),
        "withdrawable": sum(record.withdrawable for record in records),
        "partners": sum(partner.claimable_base for partner in replay.money.partners.values()),
        "fee": sums["fee"] - sums["feePaid"],
        "treasury": sums["treasury"] - sums["treasuryPaid"],
        "pool": sums["pool"] - sums["rewards"],
    }


def check_tokens(chain: Chain, replay: Replay, tally: Tally) -> None:
    """Checks that every token move is explained, and that the contract can pay all it owes.

    Raises:
        Mismatch: an unexplained move, or less tokens than liabilities.
    """
    money, held_base, head = replay.money, chain.balance(), Place(chain.head)
    expected_base = money.tokens_in_base - money.tokens_out_base
    tally.equal("token flow", head.of("balanceOf(settlement)"), expected_base, held_base)
    owed_base = sum(liabilities(replay).values())
    tally.require(
        "solvency", head.of("liabilities"), held_base >= owed_base, f"at least {owed_base}", held_base
    )


def _check_partners(chain: Chain, replay: Replay, tally: Tally) -> None:
    for partner_id, partner in replay.money.partners.items():
        place = Place(chain.head, subject=f"partnerAccount({partner_id})")
        view = chain.view("partnerAccount", partner_id)
        expected = (
            partner.gross_base, partner.checkpoint_base, partner.accrued_base, partner.paid_base,
            partner.applied_bps,
        )  # fmt: skip
        actual = (view.gross, view.checkpointGross, view.accrued, view.paid, view.bps)
        tally.equal("contract views", place, expected, actual)
        claimable = chain.view("partnerClaimable", partner_id)
        tally.equal(
            "contract views", place.of(f"partnerClaimable({partner_id})"), partner.claimable_base, claimable
        )


def _check_accounts(chain: Chain, replay: Replay, tally: Tally, progress: Progress) -> None:
    records = replay.accounts.records
    for done, (idx, record) in enumerate(sorted(records.items())):
        view = chain.view("account", idx)
        expected = {
            "owner": record.owner,
            "pendingDeposit": record.pending_deposit,
            "pendingWithdrawal": record.withdrawal.value,
            "withdrawable": record.withdrawable,
            "withdrawalDeadline": record.withdrawal.deadline_s,
            "keyDeadline": record.key.deadline_s,
            "pendingKey": record.key.value,
            "cancelling": record.cancelling.value,
            "cancelDeadline": record.cancelling.deadline_s,
            "status": record.status,
            "frozenRoot": record.frozen_root,
        }
        actual = {name: getattr(view, name) for name in expected}
        tally.equal("contract views", Place(chain.head, subject=f"account({idx})"), expected, actual)
        progress("accounts", done + 1, len(records))
