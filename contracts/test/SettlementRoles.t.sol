// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

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
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", alice));
        vm.prank(alice);
        settlement.registerVerifier(10, second);
    }

    function test_roles_are_the_owners_to_give() public {
        vm.expectEmit(true, true, true, true, address(settlement));
        emit ISettlement.OperatorChanged(bob);
        settlement.setOperator(bob);
        settlement.setReceiptSigner(bob);
        assertEq(settlement.operator(), bob, "operator");
        assertEq(settlement.receiptSigner(), bob, "receipt signer");
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        settlement.setOperator(address(0));
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        settlement.setReceiptSigner(address(0));
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", alice));
        settlement.setOperator(alice);
        vm.expectRevert(abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", alice));
        settlement.setReceiptSigner(alice);
    }

    function _invalidVerifier(uint256 slots, address candidate) internal {
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidVerifier.selector, candidate));
        settlement.registerVerifier(slots, candidate);
    }
}
