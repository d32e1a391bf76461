// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Cancelled deposits, frozen accounts and exits, as their owners use them.
contract SettlementLeavingTest is Fixture {
    uint256 internal constant AMOUNT = 50 * 10 ** 6;
    uint256[8] internal proof;

    function test_an_announced_deposit_comes_back() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.DepositCancelAnnounced(idx, AMOUNT, block.timestamp + 1 days);
        vm.prank(alice);
        settlement.announceCancelDeposit();
        ISettlement.Account memory entry = settlement.account(idx);
        assertEq(entry.cancelling, AMOUNT, "cancelling");
        assertEq(entry.pendingDeposit, AMOUNT, "still pending");
        assertEq(entry.cancelDeadline, block.timestamp + 1 days, "deadline");
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.CancelNotDue.selector, idx, entry.cancelDeadline));
        settlement.cancelDeposit(idx);
        vm.warp(block.timestamp + 1);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.DepositCancelled(idx, AMOUNT);
        settlement.cancelDeposit(idx);
        entry = settlement.account(idx);
        assertEq(entry.pendingDeposit, 0, "nothing pending");
        assertEq(entry.cancelling, 0, "nothing to cancel");
        assertEq(entry.cancelDeadline, 0, "no deadline");
        uint256 before = token.balanceOf(alice);
        settlement.withdraw(idx);
        assertEq(token.balanceOf(alice) - before, AMOUNT, "paid");
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.cancelDeposit(idx);
    }

    function test_one_announcement_at_a_time_for_what_is_pending() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotOwner.selector, alice));
        vm.prank(alice);
        settlement.announceCancelDeposit();
        uint256 idx = _deposit(alice, AMOUNT);
        vm.startPrank(alice);
        settlement.announceCancelDeposit();
        vm.expectRevert(abi.encodeWithSelector(ISettlement.CancelOutstanding.selector, idx));
        settlement.announceCancelDeposit();
        vm.stopPrank();
        _settleSlot(_word(idx, 0, 0, AMOUNT, 0, false), KEY_COMMIT);
        vm.startPrank(alice);
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.announceCancelDeposit();
        settlement.deposit(7, 0);
        settlement.announceCancelDeposit();
        assertEq(settlement.account(idx).cancelling, 7, "announced anew");
    }

    function test_an_unserved_withdrawal_lets_the_owner_leave() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        _deposit(alice, 9);
        vm.prank(alice);
        settlement.requestWithdrawal(40 * VIBES);
        vm.warp(block.timestamp + 1 days + 1);
        uint256 root = settlement.stateRoot();
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.AccountFrozen(idx, root, 9, 40 * VIBES);
        vm.prank(bob);
        settlement.freeze(idx);
        assertTrue(settlement.anyFrozen(), "flag");
        ISettlement.Account memory entry = settlement.account(idx);
        assertTrue(entry.status == ISettlement.Status.Frozen, "status");
        assertEq(entry.frozenRoot, root, "root");
        assertEq(entry.pendingDeposit + entry.pendingWithdrawal + entry.withdrawalDeadline, 0, "void");
        assertEq(entry.withdrawable, 9, "refund");

        exitVerifier.expectInput([root, idx, AMOUNT]);
        vm.expectRevert(ISettlement.InvalidProof.selector);
        settlement.exit(idx, AMOUNT + 1, proof);
        uint256 before = token.balanceOf(alice);
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.AccountExited(idx, alice, AMOUNT);
        vm.prank(bob);
        settlement.exit(idx, AMOUNT, proof);
        settlement.withdraw(idx);
        assertEq(token.balanceOf(alice) - before, AMOUNT + 9, "paid to the last unit");
        assertEq(token.balanceOf(address(settlement)), 0, "nothing left");
        assertTrue(settlement.account(idx).status == ISettlement.Status.Exited, "exited");
    }

    function test_an_unserved_key_lets_the_owner_leave() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.prank(alice);
        settlement.setSessionKey(77);
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingOverdue.selector, idx));
        settlement.freeze(idx);
        vm.warp(block.timestamp + 1);
        settlement.freeze(idx);
        ISettlement.Account memory entry = settlement.account(idx);
        assertEq(entry.pendingKey + entry.keyDeadline, 0, "void");
        assertTrue(entry.status == ISettlement.Status.Frozen, "status");
    }

    function test_batches_open_accounts() public {
        uint256 idx = _deposit(alice, AMOUNT);
        assertTrue(settlement.account(idx).status == ISettlement.Status.Unopened, "unopened");
        _settleSlot(idx, KEY_COMMIT);
        assertTrue(settlement.account(idx).status == ISettlement.Status.Open, "open");
        assertTrue(settlement.account(2).status == ISettlement.Status.None, "none");
    }

    function test_an_exit_needs_a_frozen_account() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountNotFrozen.selector, idx));
        settlement.exit(idx, AMOUNT, proof);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountNotFrozen.selector, 99));
        settlement.exit(99, AMOUNT, proof);
    }
}
