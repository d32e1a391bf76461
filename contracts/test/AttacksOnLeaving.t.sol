// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {VibesToken} from "../src/VibesToken.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {SwitchVerifier, UnrulyToken} from "./Doubles.sol";
import {Fixture} from "./Fixture.sol";

/// @dev What operators, strangers and owners try with freezes, exits and cancelled deposits.
contract AttacksOnLeavingTest is Fixture {
    uint256 internal constant AMOUNT = 50 * 10 ** 6;
    uint256 internal constant LATE = 1 days + 1;
    uint256[8] internal proof;
    uint256[] internal none;

    function test_attack_exited_leaf_is_charged_again() public {
        uint256 idx = _frozen(alice);
        settlement.exit(idx, AMOUNT, proof);
        bytes memory refusal = abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx);
        _settleReverts(_charge(idx, 5), _partnerWords(1, 5), 5, refusal);
        // Nor paid, refilled, drained or given another key; the others' slots are not to blame.
        _settleReverts(_slot(_word(idx, 0, 1, 0, 0, false), 0), none, 0, refusal);
        _settleReverts(_slot(_word(idx, 0, 0, 1, 0, false), 0), none, 0, refusal);
        _settleReverts(_slot(_word(idx, 0, 0, 0, 1, true), 0), none, 0, refusal);
        _settleReverts(_slot(idx, 9), none, 0, refusal);
        _settleReverts(_slot(idx, 0), none, 0, refusal);
        uint256[] memory last = new uint256[](8);
        (last[0], last[6]) = (_word(idx - 1, 0, 0, 0, 0, false), _word(idx, 0, 0, 0, 0, false));
        _settleReverts(last, none, 0, refusal);
        _settleSlot(_openAccount(bob, AMOUNT), 0);
    }

    function test_attack_frozen_leaf_is_changed_before_the_exit() public {
        uint256 idx = _frozen(alice);
        bytes memory refusal = abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx);
        _settleReverts(_charge(idx, AMOUNT), _partnerWords(1, AMOUNT), AMOUNT, refusal);
    }

    function test_attack_exit_is_chased_by_a_moving_root() public {
        uint256 idx = _frozen(alice);
        uint256 root = settlement.account(idx).frozenRoot;
        exitVerifier.expectInput([root, idx, AMOUNT]);
        _settle(new uint256[](8), none, 0); // the operator front-runs the exit with another batch
        assertTrue(settlement.stateRoot() != root, "the root moved");
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx));
        settlement.freeze(idx); // nor does a second freeze move it
        settlement.exit(idx, AMOUNT, proof);
        assertTrue(settlement.account(idx).status == ISettlement.Status.Exited, "paid all the same");
    }

    function test_attack_double_exit() public {
        uint256 idx = _frozen(alice);
        settlement.exit(idx, AMOUNT, proof);
        proof[0] = 1; // another proof of the same, as anyone can make of a Groth16 proof
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountNotFrozen.selector, idx));
        settlement.exit(idx, AMOUNT, proof);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx));
        settlement.freeze(idx);
    }

    function test_attack_exit_of_what_was_withdrawn() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(20 * VIBES);
        _settleSlot(_word(idx, 0, 0, 0, 20 * VIBES, false), 0);
        settlement.withdraw(idx);
        vm.warp(block.timestamp + LATE);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingOverdue.selector, idx));
        settlement.freeze(idx); // the served request gives no right to leave
        vm.prank(alice);
        settlement.requestWithdrawal(1);
        vm.warp(block.timestamp + LATE);
        settlement.freeze(idx);
        // The frozen root is the one after the withdrawal: an older leaf cannot be shown in it.
        exitVerifier.expectInput([settlement.stateRoot(), idx, AMOUNT - 20 * VIBES]);
        vm.expectRevert(ISettlement.InvalidProof.selector);
        settlement.exit(idx, AMOUNT, proof);
        settlement.exit(idx, AMOUNT - 20 * VIBES, proof);
        assertEq(token.balanceOf(address(settlement)), 0, "each unit once");
    }

    function test_attack_withdrawal_after_the_freeze() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(AMOUNT);
        uint256[] memory sealedWords = _slot(_word(idx, 0, 0, 0, AMOUNT, false), 0);
        vm.warp(block.timestamp + LATE);
        settlement.freeze(idx);
        // The batch that would have served it comes too late: paid by it and by the exit, she would have twice.
        _settleReverts(
            sealedWords, none, 0, abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx)
        );
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx));
        settlement.requestWithdrawal(AMOUNT);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx));
        settlement.setSessionKey(7);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx));
        settlement.announceCancelDeposit();
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.withdraw(idx);
    }

    function test_attack_deposit_into_a_frozen_account() public {
        uint256 idx = _frozen(alice);
        bytes memory refusal = abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx);
        vm.expectRevert(refusal);
        vm.prank(alice);
        settlement.deposit(1, 0);
        vm.expectRevert(refusal);
        vm.prank(bob);
        settlement.depositFor(idx, 1);
        settlement.exit(idx, AMOUNT, proof);
        vm.expectRevert(refusal);
        vm.prank(alice);
        settlement.deposit(1, 0);
    }

    function test_attack_freeze_of_a_served_account() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.startPrank(alice);
        settlement.requestWithdrawal(7);
        settlement.setSessionKey(8);
        vm.stopPrank();
        _settleSlot(_word(idx, 0, 0, 0, 7, false), 8);
        vm.warp(block.timestamp + LATE);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingOverdue.selector, idx));
        settlement.freeze(idx);
    }

    function test_attack_freeze_before_the_deadline() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(7);
        vm.warp(settlement.account(idx).withdrawalDeadline); // its last second is the operator's
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingOverdue.selector, idx));
        settlement.freeze(idx);
        _settleSlot(_word(idx, 0, 0, 0, 7, false), 0);
    }

    function test_attack_freeze_of_an_unopened_account() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(7);
        vm.warp(block.timestamp + LATE);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountNotOpened.selector, idx));
        settlement.freeze(idx);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownAccount.selector, 99));
        settlement.freeze(99);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.UnknownAccount.selector, 0));
        settlement.freeze(0);
    }

    function test_attack_freeze_of_others_by_a_request_of_ones_own() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        uint256 other = _openAccount(bob, AMOUNT);
        vm.startPrank(bob);
        settlement.requestWithdrawal(7);
        settlement.depositFor(idx, 1); // opens no request of hers
        vm.stopPrank();
        vm.warp(block.timestamp + LATE);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NothingOverdue.selector, idx));
        settlement.freeze(idx);
        settlement.freeze(other);
        _settleSlot(_word(idx, 0, 0, 1, 0, false), 0); // and she is served on, beside the frozen one
    }

    function test_attack_freeze_twice() public {
        uint256 idx = _frozen(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.AccountIsFrozen.selector, idx));
        settlement.freeze(idx);
    }

    function test_attack_cancel_announced_once_and_used_for_later_deposits() public {
        uint256 idx = _deposit(alice, AMOUNT);
        vm.prank(alice);
        settlement.announceCancelDeposit();
        vm.warp(block.timestamp + LATE);
        uint256 state = vm.snapshotState();
        _deposit(alice, 9); // after the announcement: not covered by it
        settlement.cancelDeposit(idx);
        assertEq(settlement.account(idx).pendingDeposit, 9, "stays");
        assertEq(settlement.account(idx).withdrawable, AMOUNT, "comes back");
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.cancelDeposit(idx);

        vm.revertToState(state);
        _settleSlot(_word(idx, 0, 0, AMOUNT, 0, false), KEY_COMMIT); // what was announced is spent
        _deposit(alice, AMOUNT);
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.cancelDeposit(idx);

        vm.revertToState(state);
        _settleSlot(_word(idx, 0, 0, AMOUNT - 4, 0, false), KEY_COMMIT);
        _deposit(alice, AMOUNT);
        settlement.cancelDeposit(idx);
        assertEq(settlement.account(idx).withdrawable, 4, "what was left of it");
    }

    function test_attack_cancel_breaks_a_sealed_batch() public {
        uint256 idx = _deposit(alice, AMOUNT);
        uint256[] memory sealedWords = _slot(_word(idx, 0, 0, AMOUNT, 0, false), KEY_COMMIT);
        vm.prank(alice);
        settlement.announceCancelDeposit();
        vm.warp(block.timestamp + 1 days);
        vm.expectRevert(
            abi.encodeWithSelector(
                ISettlement.CancelNotDue.selector, idx, settlement.account(idx).cancelDeadline
            )
        );
        settlement.cancelDeposit(idx);
        _settle(sealedWords, none, 0);
    }

    function test_attack_reentrant_token_on_payouts() public {
        UnrulyToken unruly = new UnrulyToken();
        token = VibesToken(address(unruly));
        verifier = new SwitchVerifier(4);
        settlement = new Settlement(config());
        unruly.mint(alice, 2 * AMOUNT);
        vm.prank(alice);
        unruly.approve(address(settlement), type(uint256).max);
        uint256 idx = _openAccount(alice, AMOUNT);
        _deposit(alice, 9);
        vm.prank(alice);
        settlement.requestWithdrawal(7);
        vm.warp(block.timestamp + LATE);
        settlement.freeze(idx);
        bytes memory refusal = abi.encodeWithSignature("ReentrancyGuardReentrantCall()");
        bytes[3] memory entries = [
            abi.encodeCall(settlement.exit, (idx, AMOUNT, proof)),
            abi.encodeCall(settlement.withdraw, (idx)),
            abi.encodeCall(settlement.claimPartner, (1))
        ];
        for (uint256 i = 0; i < entries.length; ++i) {
            unruly.callBack(address(settlement), entries[i]);
            vm.expectRevert(refusal);
            settlement.exit(idx, AMOUNT, proof);
            vm.expectRevert(refusal);
            settlement.withdraw(idx);
        }
    }

    /// @dev An open account with a balance of AMOUNT, frozen.
    function _frozen(address wallet) internal returns (uint256 idx) {
        idx = _openAccount(wallet, AMOUNT);
        vm.prank(wallet);
        settlement.requestWithdrawal(7);
        vm.warp(block.timestamp + LATE);
        settlement.freeze(idx);
    }
}
