// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Fixture} from "./Fixture.sol";

/// @dev A guardian that pauses for good: what it stops, and that nobody's money is kept by it.
contract AttacksByPausingTest is Fixture {
    uint256 internal constant AMOUNT = 50 * 10 ** 6;
    uint256[8] internal proof;
    address internal carol = address(0xCA401);

    function test_attack_pause_stops_no_way_out() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        uint256 other = _openAccount(bob, AMOUNT);
        _fund(carol);
        uint256 unopened = _deposit(carol, AMOUNT);
        _settleCharge(other, 40 * VIBES, 1);
        vm.prank(guardian);
        settlement.pause();

        vm.startPrank(alice);
        settlement.requestWithdrawal(AMOUNT);
        settlement.setSessionKey(7);
        vm.stopPrank();
        vm.prank(carol);
        settlement.announceCancelDeposit();
        vm.warp(block.timestamp + 1 days + 1);
        settlement.freeze(idx);
        settlement.exit(idx, AMOUNT, proof);
        settlement.cancelDeposit(unopened);
        settlement.withdraw(unopened);
        vm.prank(partnerOnePayout);
        registry.setPayout(1, carol);
        settlement.applyTerms(2);
        settlement.claimPartner(1);
        settlement.claimFee();
        settlement.claimTreasury();
        assertEq(token.balanceOf(alice), 1_000_000 * VIBES, "alice has everything back");
        assertEq(token.balanceOf(carol), 1_000_000 * VIBES + 12 * VIBES, "carol too, and the partner's share");
    }

    function test_attack_deposits_and_batches_while_paused() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.prank(guardian);
        settlement.pause();
        ISettlement.Header memory header = _header(0);
        bytes memory refusal = abi.encodeWithSelector(ISettlement.IsPaused.selector);
        vm.expectRevert(refusal);
        _settleAs(header, new uint256[](8), new uint256[](0));
        vm.startPrank(alice);
        vm.expectRevert(refusal);
        settlement.deposit(1, 0);
        vm.expectRevert(refusal);
        settlement.depositFor(idx, 1);
        vm.expectRevert(refusal);
        settlement.depositWithPermit(ISettlement.DepositIntent(alice, 1, 0, block.timestamp), "", 0, 0, 0);
        vm.expectRevert(refusal);
        settlement.depositWithAuthorization(alice, 1, 0, 0, 0, type(uint256).max, 0, 0, 0);
    }

    /// @dev Who pauses forever loses the accounts: what it keeps from being served lets everyone leave.
    function test_attack_pause_to_keep_requests_unserved() public {
        uint256 idx = _openAccount(alice, AMOUNT);
        vm.prank(alice);
        settlement.requestWithdrawal(AMOUNT);
        vm.prank(guardian);
        settlement.pause();
        vm.warp(block.timestamp + 1 days + 1);
        settlement.freeze(idx);
        assertTrue(settlement.account(idx).status == ISettlement.Status.Frozen, "frozen all the same");
    }
}
