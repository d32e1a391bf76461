// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {PartnerRegistry} from "../src/PartnerRegistry.sol";
import {PolicyTimelock} from "../src/PolicyTimelock.sol";
import {Settlement} from "../src/Settlement.sol";
import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {SwitchVerifier} from "./Doubles.sol";
import {Deployment} from "./Fixture.sol";

/// @dev A deployment as scripts/deploy.py makes it, with a real timelock of the shortest allowed delay.
abstract contract Governed is Deployment {
    uint256 internal constant DELAY = 6 days; // three service deadlines of a day, three days to send it all
    address internal constant PROPOSER = address(0x9409);

    PolicyTimelock internal timelock;

    function setUp() public virtual {
        _deploy();
        timelock = new PolicyTimelock(DELAY, PROPOSER);
        IPartnerRegistry.InitialPartner[] memory partners = new IPartnerRegistry.InitialPartner[](1);
        partners[0] = IPartnerRegistry.InitialPartner("one", partnerOnePayout, 3_000);
        registry = new PartnerRegistry(address(timelock), MAX_BPS, partners);
        Settlement.Config memory settings = config();
        settings.owner = address(timelock);
        settlement = new Settlement(settings);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(i == 0 ? alice : bob);
            token.approve(address(settlement), type(uint256).max);
        }
    }

    function _schedule(address target, bytes memory data, uint256 delay) internal {
        vm.prank(PROPOSER);
        timelock.schedule(target, 0, data, 0, 0, delay);
    }
}

contract AttacksOnRolesTest is Governed {
    /// @param allowed the only caller that gets past the check
    /// @param refusal the error that everybody else gets
    struct Rule {
        string name;
        address target;
        bytes data;
        address allowed;
        bytes4 refusal;
    }

    Rule[] internal rules;

    function setUp() public override {
        super.setUp();
        _timelockRules();
        bytes4 guardianOnly = ISettlement.NotGuardian.selector;
        _rule("pause", address(settlement), abi.encodeCall(settlement.pause, ()), guardian, guardianOnly);
        _rule("unpause", address(settlement), abi.encodeCall(settlement.unpause, ()), guardian, guardianOnly);
        ISettlement.Header memory header = _header(0);
        uint256[8] memory proof;
        uint256[] memory none;
        bytes memory batch = abi.encodeCall(settlement.settleBatch, (header, new uint256[](8), none, proof));
        _rule("settleBatch", address(settlement), batch, operator, ISettlement.NotOperator.selector);
        bytes memory payout = abi.encodeCall(registry.setPayout, (1, bob));
        bytes4 payoutOnly = IPartnerRegistry.NotPayoutAddress.selector;
        _rule("setPayout", address(registry), payout, partnerOnePayout, payoutOnly);
        bytes4 minterOnly = bytes4(keccak256("OwnableUnauthorizedAccount(address)"));
        _rule("mint", address(token), abi.encodeCall(token.mint, (bob, 1)), address(this), minterOnly);
    }

    /// @dev Every role on every function that has one: all but the one that may are refused, by name.
    function test_attack_every_role_on_every_function() public {
        _openAccount(alice, 50 * VIBES);
        address[9] memory callers = [
            address(timelock),
            PROPOSER,
            guardian,
            operator,
            receiptSigner,
            treasury,
            partnerOnePayout,
            alice,
            address(this)
        ];
        for (uint256 i = 0; i < rules.length; ++i) {
            for (uint256 j = 0; j < callers.length; ++j) {
                if (callers[j] == rules[i].allowed) continue;
                vm.prank(callers[j], callers[j]);
                (bool done, bytes memory answer) = rules[i].target.call(rules[i].data);
                assertTrue(!done && bytes4(answer) == rules[i].refusal, rules[i].name);
            }
        }
    }

    /// @dev The table is about roles, not about calls that fail anyway.
    function test_the_allowed_role_gets_past_the_check() public {
        for (uint256 i = 0; i < rules.length; ++i) {
            vm.prank(rules[i].allowed, rules[i].allowed);
            (bool done,) = rules[i].target.call(rules[i].data);
            assertTrue(done, rules[i].name);
        }
    }

    function test_attack_front_run_initialisation() public {
        // Right after the deployment everything is set: the first block takes deposits and settles them.
        _openAccount(alice, 50 * VIBES);
        assertEq(settlement.batchNumber(), 1, "settled without any further step");
        // A size that has a verifier keeps it, whoever asks, the timelock included.
        address other = address(new SwitchVerifier(4));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.VerifierAlreadyRegistered.selector, 4));
        vm.prank(address(timelock));
        settlement.registerVerifier(4, other);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.InvalidVerifier.selector, exitVerifier));
        vm.prank(address(timelock));
        settlement.registerVerifier(0, address(exitVerifier)); // nor is the exit verifier a batch size
        // There is no door for taking the contract over, initialising it again or handing it on.
        string[5] memory doors = [
            "initialize()",
            "transferOwnership(address)",
            "renounceOwnership()",
            "acceptOwnership()",
            "upgradeTo(address)"
        ];
        for (uint256 i = 0; i < doors.length; ++i) {
            vm.prank(address(timelock));
            (bool done,) = address(settlement).call(abi.encodeWithSignature(doors[i], address(timelock)));
            assertTrue(!done, doors[i]);
            vm.prank(address(timelock));
            (done,) = address(registry).call(abi.encodeWithSignature(doors[i], address(timelock)));
            assertTrue(!done, doors[i]);
        }
    }

    function _timelockRules() private {
        bytes4 refusal = ISettlement.NotTimelock.selector;
        address verifierOfTen = address(new SwitchVerifier(10));
        address[2] memory targets = [address(settlement), address(registry)];
        bytes[7] memory calls = [
            abi.encodeCall(settlement.registerVerifier, (10, verifierOfTen)),
            abi.encodeCall(settlement.setOperator, (operator)),
            abi.encodeCall(settlement.setReceiptSigner, (bob)),
            abi.encodeCall(settlement.setGuardian, (guardian)),
            abi.encodeCall(registry.addPartner, ("two", bob, 1)),
            abi.encodeCall(registry.setBps, (1, 1)),
            abi.encodeCall(registry.setActive, (1, false))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            _rule("timelock only", targets[i < 4 ? 0 : 1], calls[i], address(timelock), refusal);
        }
    }

    function _rule(string memory name, address target, bytes memory data, address allowed, bytes4 refusal)
        private
    {
        rules.push(Rule(name, target, data, allowed, refusal));
    }
}

/// @dev The delay, with a real timelock.
contract AttacksOnTimelockTest is Governed {
    function test_attack_change_without_waiting() public {
        bytes memory change = abi.encodeCall(settlement.setOperator, (bob));
        vm.expectRevert(
            abi.encodeWithSignature("TimelockInsufficientDelay(uint256,uint256)", DELAY - 1, DELAY)
        );
        _schedule(address(settlement), change, DELAY - 1);
        _schedule(address(settlement), change, DELAY);
        vm.warp(block.timestamp + DELAY - 1);
        vm.prank(PROPOSER);
        (bool done,) =
            address(timelock).call(abi.encodeCall(timelock.execute, (address(settlement), 0, change, 0, 0)));
        assertTrue(!done, "a second too early");
        vm.warp(block.timestamp + 1);
        vm.prank(alice); // anyone
        timelock.execute(address(settlement), 0, change, 0, 0);
        assertEq(settlement.operator(), bob, "changed");
    }

    function test_attack_shorter_delay() public {
        bytes memory change = abi.encodeCall(timelock.updateDelay, (0));
        vm.expectRevert(abi.encodeWithSignature("TimelockUnauthorizedCaller(address)", PROPOSER));
        vm.prank(PROPOSER);
        timelock.updateDelay(0);
        _schedule(address(timelock), change, DELAY); // a change of the delay waits like any other
        vm.warp(block.timestamp + DELAY);
        timelock.execute(address(timelock), 0, change, 0, 0);
        assertEq(timelock.getMinDelay(), 0, "announced for the whole delay");
        // And nothing new is deployed on a timelock that became too short.
        Settlement.Config memory settings = config();
        settings.owner = address(timelock);
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TimelockTooShort.selector, 0, DELAY));
        new Settlement(settings);
    }

    function test_attack_roles_of_the_timelock() public {
        bytes32 proposing = timelock.PROPOSER_ROLE();
        address[3] memory callers = [address(this), PROPOSER, guardian]; // this test deployed the timelock
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            (bool done,) = address(timelock).call(abi.encodeCall(timelock.grantRole, (proposing, callers[i])));
            assertTrue(!done, "no admin but the timelock itself");
            assertTrue(!timelock.hasRole(timelock.DEFAULT_ADMIN_ROLE(), callers[i]), "admin");
        }
        vm.prank(guardian);
        (bool scheduled,) = address(timelock)
            .call(abi.encodeCall(timelock.schedule, (address(settlement), 0, "", 0, 0, DELAY)));
        assertTrue(!scheduled, "only the proposer proposes");
    }

    function test_attack_owner_without_a_delay() public {
        Settlement.Config memory settings = config();
        settings.owner = address(new PolicyTimelock(DELAY - 1, PROPOSER));
        vm.expectRevert(abi.encodeWithSelector(ISettlement.TimelockTooShort.selector, DELAY - 1, DELAY));
        new Settlement(settings);
        settings.owner = alice; // no timelock at all
        vm.expectRevert();
        new Settlement(settings);
        settings.owner = address(0);
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        new Settlement(settings);
    }

    /// @dev Whoever reacts in the block that announces a hostile verifier is paid before it counts, though the
    /// operator does nothing for anybody.
    function test_attack_hostile_verifier_meets_nobody_left() public {
        uint256 idx = _openAccount(alice, 50 * VIBES);
        address hostile = address(new SwitchVerifier(1));
        bytes memory change = abi.encodeCall(settlement.registerVerifier, (1, hostile));
        uint256 announced = block.timestamp;
        _schedule(address(settlement), change, DELAY);
        vm.prank(alice);
        settlement.requestWithdrawal(50 * VIBES);
        vm.warp(settlement.account(idx).withdrawalDeadline + 1);
        settlement.freeze(idx);
        uint256[8] memory proof;
        settlement.exit(idx, 50 * VIBES, proof);
        assertEq(token.balanceOf(address(settlement)), 0, "paid");
        assertTrue(announced + DELAY - block.timestamp >= 3 days - 1, "with three days to spare");
        vm.warp(announced + DELAY);
        timelock.execute(address(settlement), 0, change, 0, 0);
    }

    /// @dev An older request and an older announcement stand in the way, each is answered at its last second, with as
    /// little as the rules allow: what is left in the end is still out before the change.
    function test_attack_requests_answered_at_the_last_second() public {
        uint256 idx = _openAccount(alice, 50 * VIBES);
        vm.startPrank(alice);
        settlement.deposit(20 * VIBES, 0);
        settlement.announceCancelDeposit();
        settlement.deposit(30 * VIBES, 0);
        settlement.requestWithdrawal(1 * VIBES);
        vm.stopPrank();
        uint256 announced = block.timestamp;
        address hostile = address(new SwitchVerifier(1));
        _schedule(address(settlement), abi.encodeCall(settlement.registerVerifier, (1, hostile)), DELAY);

        vm.warp(announced + 1 days);
        _settleSlot(_word(idx, 0, 0, 0, 1 * VIBES, false), 0);
        vm.prank(alice);
        settlement.requestWithdrawal(99 * VIBES);
        vm.warp(announced + 1 days + 1);
        settlement.cancelDeposit(idx); // the 20; the 30 need an announcement of their own
        vm.prank(alice);
        settlement.announceCancelDeposit();
        vm.warp(announced + 2 days);
        // The tree is drained while the deposit is pending, and the deposit is consumed after that.
        _settleSlot(_word(idx, 0, 0, 0, 49 * VIBES, true), 0);
        _settleSlot(_word(idx, 0, 0, 30 * VIBES, 0, false), 0);
        vm.prank(alice);
        settlement.requestWithdrawal(30 * VIBES);
        vm.warp(announced + 3 days + 1);
        settlement.freeze(idx);
        uint256[8] memory proof;
        exitVerifier.expectInput([settlement.stateRoot(), idx, 30 * VIBES]);
        settlement.exit(idx, 30 * VIBES, proof);
        settlement.withdraw(idx);
        assertEq(token.balanceOf(address(settlement)), 0, "every unit is out");
        assertTrue(announced + DELAY - block.timestamp >= 3 days - 1, "with three days to spare");
    }
}
