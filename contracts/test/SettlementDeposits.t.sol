// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {UnrulyToken} from "./Doubles.sol";
import {Fixture} from "./Fixture.sol";

/// @dev Direct deposits, requests and withdrawals, with the attacks on them.
contract SettlementDepositsTest is Fixture {
    uint256 internal constant AMOUNT = 50 * 10 ** 6;

    function test_the_first_deposit_opens_an_account() public {
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.AccountOpened(1, alice);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.SessionKeyRequested(1, KEY_COMMIT, block.timestamp + 1 days);
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.Deposited(1, alice, AMOUNT);
        uint256 idx = _deposit(alice, AMOUNT);
        ISettlement.Account memory entry = settlement.account(idx);
        assertEq(entry.owner, alice, "owner");
        assertEq(entry.pendingDeposit, AMOUNT, "pending");
        assertEq(entry.pendingKey, KEY_COMMIT, "key");
        assertEq(entry.keyDeadline, block.timestamp + 1 days, "key deadline");
        assertEq(settlement.indexOf(alice), idx, "index");
        assertEq(settlement.nextIdx(), 2, "next index");
        assertEq(token.balanceOf(address(settlement)), AMOUNT, "tokens");
    }

    function test_later_deposits_add_up_and_carry_no_key() public {
        uint256 idx = _deposit(alice, AMOUNT);
        assertEq(_deposit(alice, 1), idx, "same account");
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT + 1, "pending");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, KEY_COMMIT));
        vm.prank(alice);
        settlement.deposit(1, KEY_COMMIT);
    }

    function test_first_deposits_have_a_minimum_and_a_key() public {
        vm.startPrank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.DepositTooSmall.selector, 1 * VIBES - 1, 1 * VIBES)
        );
        settlement.deposit(1 * VIBES - 1, KEY_COMMIT);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, 0));
        settlement.deposit(AMOUNT, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, FIELD));
        settlement.deposit(AMOUNT, FIELD);
    }

    function test_amounts_have_54_bits() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 0));
        settlement.deposit(0, 0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 2 ** 54));
        settlement.depositFor(idx, 2 ** 54);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 0));
        settlement.requestWithdrawal(0);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 2 ** 54));
        settlement.requestWithdrawal(2 ** 54);
    }

    function test_pending_deposits_stay_below_54_bits() public {
        (UnrulyToken unruly, Settlement other) = _withUnrulyToken();
        vm.startPrank(alice);
        other.deposit(2 ** 54 - 1, KEY_COMMIT);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidAmount.selector, 2 ** 54));
        other.deposit(1, 0);
        assertEq(unruly.balanceOf(address(other)), 2 ** 54 - 1, "tokens");
    }

    function test_anyone_may_deposit_for_an_open_account() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.Deposited(idx, bob, 7);
        vm.prank(bob);
        settlement.depositFor(idx, 7);
        assertEq(settlement.account(idx).pendingDeposit, AMOUNT + 7, "pending");
        assertEq(settlement.indexOf(bob), 0, "no account for the payer");
        for (uint256 unknown = 0; unknown <= 2; unknown += 2) {
            vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownAccount.selector, unknown));
            vm.prank(bob);
            settlement.depositFor(unknown, 7);
        }
    }

    function test_the_tree_has_2_to_the_24_places() public {
        vm.store(address(settlement), _slotOfNextIdx(), bytes32(uint256(2 ** 24 - 1)));
        assertEq(_deposit(alice, AMOUNT), 2 ** 24 - 1, "last place");
        vm.expectRevert(ISettlement.TreeFull.selector);
        vm.prank(bob);
        settlement.deposit(AMOUNT, KEY_COMMIT);
    }

    function test_attack_fee_on_transfer_token() public {
        (UnrulyToken unruly, Settlement other) = _withUnrulyToken();
        unruly.keep(100);
        vm.expectRevert(
            abi.encodeWithSelector(ISettlement.UnexpectedTransfer.selector, AMOUNT, AMOUNT * 99 / 100)
        );
        vm.prank(alice);
        other.deposit(AMOUNT, KEY_COMMIT);
    }

    function test_attack_reentrant_token_on_deposit() public {
        (UnrulyToken unruly, Settlement other) = _withUnrulyToken();
        unruly.callBack(address(other), abi.encodeCall(other.deposit, (AMOUNT, KEY_COMMIT)));
        vm.expectRevert(abi.encodeWithSignature("ReentrancyGuardReentrantCall()"));
        vm.prank(alice);
        other.deposit(AMOUNT, KEY_COMMIT);
    }

    function test_one_key_request_at_a_time() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.KeyRequestOutstanding.selector, idx));
        settlement.setSessionKey(2);
        _settleSlot(idx, KEY_COMMIT);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidKeyCommit.selector, 0));
        settlement.setSessionKey(0);
        settlement.setSessionKey(2);
        assertEq(settlement.account(idx).pendingKey, 2, "key");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.KeyRequestOutstanding.selector, idx));
        settlement.setSessionKey(3);
    }

    function test_one_withdrawal_request_at_a_time() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.startPrank(alice);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.WithdrawalRequested(idx, 9, block.timestamp + 1 days);
        settlement.requestWithdrawal(9);
        assertEq(settlement.account(idx).withdrawalDeadline, block.timestamp + 1 days, "deadline");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.WithdrawalOutstanding.selector, idx));
        settlement.requestWithdrawal(1);
    }

    function test_only_owners_request() public {
        vm.startPrank(bob);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotOwner.selector, bob));
        settlement.setSessionKey(1);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotOwner.selector, bob));
        settlement.requestWithdrawal(1);
    }

    function test_a_withdrawal_is_paid_once_to_the_owner() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(AMOUNT);
        _settleSlot(_word(idx, 0, 0, 0, AMOUNT, false), 0);
        uint256 before = token.balanceOf(alice);
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.Withdrawn(idx, alice, AMOUNT);
        vm.prank(bob);
        settlement.withdraw(idx);
        assertEq(token.balanceOf(alice) - before, AMOUNT, "paid");
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.withdraw(idx);
    }

    function _withUnrulyToken() internal returns (UnrulyToken unruly, Settlement other) {
        unruly = new UnrulyToken();
        Settlement.Config memory settings = config();
        settings.token = address(unruly);
        other = new Settlement(settings);
        unruly.mint(alice, 2 ** 60);
        vm.prank(alice);
        unruly.approve(address(other), type(uint256).max);
    }
}
