// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PartnerRegistry} from "../src/PartnerRegistry.sol";
import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {Base} from "./Base.sol";

contract PartnerRegistryTest is Base {
    address internal constant PAYOUT = address(0xF1);
    address internal constant STRANGER = address(0xBAD);

    PartnerRegistry internal registry;
    IPartnerRegistry.InitialPartner[] internal none;

    function setUp() public {
        registry = new PartnerRegistry(address(this), 5_000, none);
    }

    function test_the_house_is_partner_0_with_no_share() public {
        (address payout, uint256 bps) = registry.terms(0);
        assertEq(payout, address(0), "payout");
        assertEq(bps, 0, "bps");
        assertEq(registry.count(), 1, "count");
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.BpsTooHigh.selector, 1, 0));
        registry.setBps(0, 1);
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.NameTaken.selector, "house"));
        registry.addPartner("house", PAYOUT, 1);
    }

    function test_partners_are_added_with_rising_ids() public {
        vm.expectEmit(true, false, false, true, address(registry));
        emit IPartnerRegistry.PartnerAdded(1, "one", PAYOUT, 5_000);
        assertEq(registry.addPartner("one", PAYOUT, 5_000), 1, "first id");
        assertEq(registry.addPartner("two", PAYOUT, 0), 2, "second id");
        assertEq(registry.idOf("two"), 2, "id of a name");
        assertEq(registry.idOf("three"), 0, "unknown name");
        IPartnerRegistry.Partner memory entry = registry.partner(1);
        assertEq(entry.payout, PAYOUT, "payout");
        assertEq(entry.bps, 5_000, "bps");
        assertTrue(entry.active, "active");
        assertTrue(keccak256(bytes(entry.name)) == keccak256("one"), "name");
    }

    function test_the_first_partners_come_with_the_deployment() public {
        IPartnerRegistry.InitialPartner[] memory partners = new IPartnerRegistry.InitialPartner[](2);
        partners[0] = IPartnerRegistry.InitialPartner("one", PAYOUT, 5_000);
        partners[1] = IPartnerRegistry.InitialPartner("two", STRANGER, 7);
        PartnerRegistry other = new PartnerRegistry(address(this), 5_000, partners);
        assertEq(other.count(), 3, "count");
        assertEq(other.idOf("one"), 1, "first id");
        assertEq(other.partner(2).bps, 7, "bps");
        assertEq(other.owner(), address(this), "owner");
        partners[1].bps = 5_001;
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.BpsTooHigh.selector, 5_001, 5_000));
        new PartnerRegistry(address(this), 5_000, partners);
        vm.expectRevert(IPartnerRegistry.ZeroAddress.selector);
        new PartnerRegistry(address(0), 5_000, none);
    }

    function test_bad_partners_are_refused() public {
        registry.addPartner("one", PAYOUT, 1);
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.NameTaken.selector, "one"));
        registry.addPartner("one", PAYOUT, 1);
        vm.expectRevert(IPartnerRegistry.InvalidName.selector);
        registry.addPartner("", PAYOUT, 1);
        vm.expectRevert(IPartnerRegistry.InvalidName.selector);
        registry.addPartner(string(new bytes(65)), PAYOUT, 1);
        vm.expectRevert(IPartnerRegistry.ZeroAddress.selector);
        registry.addPartner("two", address(0), 1);
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.BpsTooHigh.selector, 5_001, 5_000));
        registry.addPartner("two", PAYOUT, 5_001);
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.BpsTooHigh.selector, 10_001, 10_000));
        new PartnerRegistry(address(this), 10_001, none);
    }

    function test_ids_have_16_bits() public {
        bytes32 lengthSlot = bytes32(0); // owner and maxBps are immutable
        vm.store(address(registry), lengthSlot, bytes32(uint256(2 ** 16)));
        assertEq(registry.count(), 2 ** 16, "the slot holds the count");
        vm.expectRevert(IPartnerRegistry.TooManyPartners.selector);
        registry.addPartner("one", PAYOUT, 1);
    }

    function test_the_owner_sets_share_and_activity() public {
        registry.addPartner("one", PAYOUT, 1);
        registry.setBps(1, 5_000);
        registry.setActive(1, false);
        assertEq(registry.partner(1).bps, 5_000, "bps");
        assertTrue(!registry.partner(1).active, "inactive");
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.BpsTooHigh.selector, 5_001, 5_000));
        registry.setBps(1, 5_001);
        bytes memory refusal = abi.encodeWithSelector(IPartnerRegistry.NotTimelock.selector, STRANGER);
        vm.startPrank(STRANGER);
        vm.expectRevert(refusal);
        registry.setBps(1, 1);
        vm.expectRevert(refusal);
        registry.setActive(1, true);
        vm.expectRevert(refusal);
        registry.addPartner("two", PAYOUT, 1);
    }

    function test_only_the_partner_moves_its_payout() public {
        registry.addPartner("one", PAYOUT, 1);
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.NotPayoutAddress.selector, address(this)));
        registry.setPayout(1, address(this));
        vm.startPrank(PAYOUT);
        vm.expectRevert(IPartnerRegistry.ZeroAddress.selector);
        registry.setPayout(1, address(0));
        registry.setPayout(1, STRANGER);
        assertEq(registry.partner(1).payout, STRANGER, "payout");
    }

    function test_unknown_partners_have_no_terms() public {
        bytes memory refusal = abi.encodeWithSelector(IPartnerRegistry.UnknownPartner.selector, 1);
        vm.expectRevert(refusal);
        registry.terms(1);
        vm.expectRevert(refusal);
        registry.partner(1);
        vm.expectRevert(refusal);
        registry.setActive(1, true);
    }
}
