// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Base} from "./Base.sol";
import {Handler} from "./Handler.sol";

/// @dev What holds after any calls in any order: money is neither made nor lost, and leaves an account once.
contract SettlementInvariantTest is Base {
    Handler internal handler;

    function setUp() public {
        handler = new Handler();
        handler.start();
    }

    /// @dev Tells forge whom to call.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev No unit is made or lost: what is held is what is owed, to the last base unit.
    function invariant_held_is_owed() public view {
        assertEq(handler.held(), handler.liabilities(), "token balance = liabilities");
    }

    function invariant_burned_is_burned() public view {
        assertEq(handler.supplyDifference(), 0, "supply");
    }

    /// @dev Parts are floors of cumulative totals and sum to gross; partners' of each stretch at one share.
    function invariant_splits_sum_to_gross() public view {
        ISettlement.Totals memory totals = handler.totals_();
        assertEq(totals.burned, totals.gross * 500 / 10_000, "burned");
        assertEq(totals.fee, totals.gross * 1_500 / 10_000, "fee");
        assertEq(totals.pool, totals.gross * 1_000 / 10_000, "pool");
        assertEq(handler.earnedOf(1), handler.expectedOf(1), "first partner");
        assertEq(handler.earnedOf(2), handler.expectedOf(2), "second partner");
        assertEq(totals.partners, handler.earnedOf(1) + handler.earnedOf(2), "partners");
        uint256 parts = totals.burned + totals.fee + totals.pool + totals.partners + totals.treasury;
        assertEq(parts, totals.gross, "all of it");
        assertTrue(totals.rewards <= totals.pool, "rewards come out of the pool");
        assertTrue(totals.treasuryPaid <= totals.treasury, "the treasury is never overpaid");
    }

    function invariant_accounts_exit_once_and_for_good() public view {
        uint256 gone;
        for (uint256 i = 0; i < 5; ++i) {
            ISettlement.Account memory entry = handler.account_(i);
            bool exited = entry.status == ISettlement.Status.Exited;
            bool frozen = entry.status == ISettlement.Status.Frozen;
            assertEq(handler.exits(handler.indices(i)), exited ? 1 : 0, "one exit");
            assertTrue((entry.frozenRoot != 0) == (frozen || exited), "a root for those that left");
            assertTrue(entry.cancelling <= entry.pendingDeposit, "cancelling is a part of pending");
            if (!frozen && !exited) continue;
            ++gone;
            assertEq(
                entry.pendingDeposit + entry.pendingWithdrawal + entry.pendingKey, 0, "no request survives"
            );
        }
        assertEq(gone, handler.frozen(), "nobody comes back");
        assertTrue(handler.anyFrozen() == (gone != 0), "the flag says so");
    }
}
