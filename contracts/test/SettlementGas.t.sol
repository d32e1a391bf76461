// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {PartnerRegistry} from "../src/PartnerRegistry.sol";
import {CostlyVerifier} from "./Doubles.sol";
import {Deployment} from "./Fixture.sol";

/// @dev What a full batch costs, whole transactions: base, calldata, verification and storage, each call as a
/// transaction of its own with everything cold. Second batches, so that every word that is written holds something.
contract SettlementGasTest is Deployment {
    uint256 internal constant SLOTS = 80;
    uint256 internal constant PARTNERS = 8;
    uint256 internal constant CHARGE = 123_456_789;
    uint256 internal constant AMOUNT = 500 * 10 ** 6;
    uint256 internal constant WITHDRAWN = 300 * 10 ** 6;
    uint256 internal constant FIRST_IDX = 0x5a1234;

    event Used(string what, uint256 gas);

    function setUp() public {
        _deploy();
        IPartnerRegistry.InitialPartner[] memory partners = new IPartnerRegistry.InitialPartner[](PARTNERS);
        for (uint256 i = 0; i < PARTNERS; ++i) {
            partners[i] = IPartnerRegistry.InitialPartner(string(abi.encode(i)), partnerOnePayout, 3_000);
        }
        registry = new PartnerRegistry(address(this), MAX_BPS, partners);
        Settlement.Config memory settings = config();
        settings.batchVerifiers[0] = address(new CostlyVerifier(SLOTS));
        settlement = new Settlement(settings);
        vm.store(address(settlement), _slotOfNextIdx(), bytes32(FIRST_IDX));
        fakeRoot = FIELD - 100; // all bytes set, as in a real root
        uint256[] memory opening = new uint256[](2 * SLOTS);
        for (uint256 i = 0; i < SLOTS; ++i) {
            address wallet = _wallet(i);
            _fund(wallet);
            opening[2 * i] = _word(_deposit(wallet, 3 * AMOUNT), CHARGE, 0, AMOUNT, 0, false);
            opening[2 * i + 1] = KEY_COMMIT;
            vm.prank(wallet);
            settlement.requestWithdrawal(WITHDRAWN);
        }
        _settle(opening, _partners(), SLOTS * CHARGE);
    }

    /// forge-config: default.isolate = true
    function test_gas_charges_only() public {
        _settleAll(0, 0);
        assertTrue(_used("charges only") <= 400_000, "400k for the batch, 5.0k an account");
    }

    /// forge-config: default.isolate = true
    function test_gas_of_deposits() public {
        _settleAll(AMOUNT, 0);
        uint256 withDeposits = _used("charges and deposits");
        _settleAll(0, 0);
        uint256 each = (withDeposits - _used("charges only")) / SLOTS;
        emit Used("a deposit", each);
        assertTrue(each <= 6_500, "6.5k a deposit");
    }

    /// forge-config: default.isolate = true
    function test_gas_of_withdrawals() public {
        _settleAll(0, WITHDRAWN);
        uint256 withWithdrawals = _used("charges and withdrawals");
        _settleAll(0, 0);
        uint256 each = (withWithdrawals - _used("charges only")) / SLOTS;
        emit Used("a withdrawal", each);
        assertTrue(each <= 6_500, "6.5k a withdrawal");
    }

    /// @dev Neither who is frozen nor how many is paid by slot: by word of the bitmap that the batch touches.
    /// forge-config: default.isolate = true
    function test_gas_beside_frozen_accounts() public {
        _settleAll(0, 0);
        uint256 before = _used("nobody frozen");
        vm.warp(block.timestamp + 2 days);
        settlement.freeze(FIRST_IDX + SLOTS - 1);
        _settleSlots(SLOTS - 1, 0, 0); // one less: the last account is the frozen one
        uint256 beside = _used("a frozen account in the same block");
        assertTrue(beside <= before + 20_000, "a look at each slot and three words");
    }

    /// @dev The calls by which an owner leaves, each a transaction of its own.
    /// forge-config: default.isolate = true
    function test_gas_of_leaving() public {
        vm.warp(block.timestamp + 2 days);
        settlement.freeze(FIRST_IDX);
        _used("freeze, the first ever");
        settlement.freeze(FIRST_IDX + 1);
        _used("freeze");
        uint256[8] memory proof;
        settlement.exit(FIRST_IDX, AMOUNT, proof);
        _used("exit, without about 205k for the proof");
        settlement.withdraw(FIRST_IDX);
        _used("withdraw");
        vm.prank(_wallet(2));
        settlement.announceCancelDeposit();
        _used("announceCancelDeposit");
        vm.warp(block.timestamp + 2 days);
        settlement.cancelDeposit(FIRST_IDX + 2);
        _used("cancelDeposit");
    }

    function _settleAll(uint256 deposited, uint256 withdrawn) internal {
        _settleSlots(SLOTS, deposited, withdrawn);
    }

    function _settleSlots(uint256 used, uint256 deposited, uint256 withdrawn) internal {
        uint256[] memory words = new uint256[](2 * SLOTS);
        for (uint256 i = 0; i < used; ++i) {
            uint256 charge = i == 0 ? CHARGE * (SLOTS + 1 - used) : CHARGE;
            words[2 * i] = _word(FIRST_IDX + i, charge, 0, deposited, withdrawn, false);
        }
        ISettlement.Header memory header = _header(SLOTS * CHARGE);
        header.commitment = FIELD - 2;
        uint256[8] memory proof;
        for (uint256 i = 0; i < 8; ++i) {
            proof[i] = FIELD - 3;
        }
        vm.prank(operator, operator);
        settlement.settleBatch(header, words, _partners(), proof);
    }

    function _used(string memory what) internal returns (uint256 gas) {
        gas = vm.lastCallGas().gasTotalUsed;
        emit Used(what, gas);
    }

    function _partners() internal pure returns (uint256[] memory words) {
        words = new uint256[](PARTNERS);
        for (uint256 i = 0; i < PARTNERS; ++i) {
            words[i] = (i + 1) << 64 | SLOTS * CHARGE / PARTNERS;
        }
    }

    function _wallet(uint256 i) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("wallet", i)))));
    }
}
