// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PartnerRegistry} from "../src/PartnerRegistry.sol";
import {Settlement} from "../src/Settlement.sol";
import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {SwitchVerifier} from "./Doubles.sol";
import {Fixture} from "./Fixture.sol";

/// @dev What the owner, and only the owner, sets.
contract SettlementRolesTest is Fixture {
    function test_verifiers_are_registered_once_by_the_owner() public {
        address second = address(new SwitchVerifier(4));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.VerifierAlreadyRegistered.selector, 4));
        settlement.registerVerifier(4, second);
        _invalidVerifier(10, second);
        _invalidVerifier(10, alice);
        _invalidVerifier(0, address(new SwitchVerifier(0)));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotTimelock.selector, alice));
        vm.prank(alice);
        settlement.registerVerifier(10, second);
    }

    function test_roles_are_the_owners_to_give() public {
        vm.expectEmit(true, true, true, true, address(settlement));
        emit ISettlement.OperatorChanged(bob);
        settlement.setOperator(bob);
        settlement.setReceiptSigner(bob);
        settlement.setGuardian(bob);
        assertEq(settlement.guardian(), bob, "guardian");
        assertEq(settlement.operator(), bob, "operator");
        assertEq(settlement.receiptSigner(), bob, "receipt signer");
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        settlement.setOperator(address(0));
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        settlement.setReceiptSigner(address(0));
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotTimelock.selector, alice));
        settlement.setOperator(alice);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotTimelock.selector, alice));
        settlement.setReceiptSigner(alice);
    }

    function test_verifiers_are_fixed_at_deployment() public {
        assertEq(settlement.verifierOf(4), address(verifier), "batches of 4");
        assertEq(settlement.exitVerifier(), address(exitVerifier), "exits");
        Settlement.Config memory settings = config();
        settings.exitVerifier = address(verifier);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidVerifier.selector, verifier));
        new Settlement(settings);
        settings.exitVerifier = alice;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidVerifier.selector, alice));
        new Settlement(settings);
        settings = config();
        settings.batchVerifiers[0] = address(exitVerifier);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidVerifier.selector, exitVerifier));
        new Settlement(settings);
        settings.batchVerifiers[0] = alice;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidVerifier.selector, alice));
        new Settlement(settings);
        settings.batchVerifiers = new address[](2);
        (settings.batchVerifiers[0], settings.batchVerifiers[1]) = (address(verifier), address(verifier));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.VerifierAlreadyRegistered.selector, 4));
        new Settlement(settings);
    }

    function test_a_short_timelock_is_refused() public {
        Settlement.Config memory settings = config();
        timelockDelay = 6 days; // three deadlines of a day, three days to send it all
        assertEq(new Settlement(settings).EXIT_PERIOD(), 3 days, "the edge is allowed");
        timelockDelay -= 1;
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TimelockTooShort.selector, 6 days - 1, 6 days));
        new Settlement(settings);
    }

    function test_the_registry_has_the_same_owner() public {
        Settlement.Config memory settings = config();
        IPartnerRegistry.InitialPartner[] memory none;
        settings.registry = address(new PartnerRegistry(alice, MAX_BPS, none));
        vm.expectRevert(ISettlement.InvalidPolicy.selector);
        new Settlement(settings);
    }

    function test_the_guardian_pauses_deposits_and_batches() public {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotGuardian.selector, address(this)));
        settlement.pause();
        vm.expectEmit(true, true, true, true, address(settlement));
        emit ISettlement.Paused();
        vm.prank(guardian);
        settlement.pause();
        assertTrue(settlement.paused(), "paused");
        ISettlement.Header memory header = _header(0);
        vm.expectRevert(ISettlement.IsPaused.selector);
        _settleAs(header, new uint256[](8), new uint256[](0));
        vm.expectRevert(ISettlement.IsPaused.selector);
        vm.prank(alice);
        settlement.deposit(50 * VIBES, KEY_COMMIT);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.NotGuardian.selector, address(this)));
        settlement.unpause();
        vm.expectEmit(true, true, true, true, address(settlement));
        emit ISettlement.Unpaused();
        vm.prank(guardian);
        settlement.unpause();
        _deposit(alice, 50 * VIBES);
        _settleAs(header, new uint256[](8), new uint256[](0));
    }

    function _invalidVerifier(uint256 slots, address candidate) internal {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidVerifier.selector, candidate));
        settlement.registerVerifier(slots, candidate);
    }
}
