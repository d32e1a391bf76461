// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Settlement} from "../src/Settlement.sol";
import {IPartnerRegistry} from "../src/interfaces/IPartnerRegistry.sol";
import {ISettlement} from "../src/interfaces/ISettlement.sol";
import {Fixture} from "./Fixture.sol";

/// @dev How charges are split and claimed.
contract SettlementRevenueTest is Fixture {
    uint256[] internal none;
    uint256 internal idx;

    function setUp() public override {
        super.setUp();
        idx = _deposit(alice, 1_000_000 * VIBES);
    }

    function test_a_charge_is_split_to_the_last_unit() public {
        _settleCharge(idx, 100 * VIBES, 1);
        ISettlement.Totals memory totals = settlement.totals();
        assertEq(totals.gross, 100 * VIBES, "gross");
        assertEq(totals.burned, 5 * VIBES, "burned");
        assertEq(totals.partners, 30 * VIBES, "partners");
        assertEq(totals.fee, 15 * VIBES, "fee");
        assertEq(totals.pool, 10 * VIBES, "pool");
        assertEq(totals.treasury, 40 * VIBES, "treasury");
        assertEq(token.totalSupply(), token.totalMinted() - 5 * VIBES, "burned for good");
    }

    function test_house_usage_has_no_partner_share() public {
        _settleCharge(idx, 100 * VIBES, 0);
        assertEq(settlement.totals().partners, 0, "partners");
        assertEq(settlement.totals().treasury, 70 * VIBES, "treasury");
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.claimPartner(0);
    }

    function test_partners_pull_their_share_once() public {
        _settleCharge(idx, 100 * VIBES, 1);
        assertEq(settlement.partnerClaimable(1), 30 * VIBES, "claimable");
        vm.expectEmit(true, true, false, true, address(settlement));
        emit ISettlement.PartnerClaimed(1, partnerOnePayout, 30 * VIBES);
        settlement.claimPartner(1);
        assertEq(token.balanceOf(partnerOnePayout), 30 * VIBES, "paid");
        assertEq(settlement.partnerAccount(1).paid, 30 * VIBES, "recorded");
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.claimPartner(1);
    }

    function test_inactive_partners_are_still_settled_and_paid() public {
        registry.setActive(1, false);
        _settleCharge(idx, 100 * VIBES, 1);
        settlement.claimPartner(1);
        assertEq(token.balanceOf(partnerOnePayout), 30 * VIBES, "paid");
    }

    function test_attack_retroactive_share() public {
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.PartnerTermsApplied(1, 3_000, 0, 0);
        _settleCharge(idx, 100 * VIBES, 1);
        registry.setBps(1, 0);
        assertEq(settlement.partnerClaimable(1), 30 * VIBES, "a lower share takes nothing back");
        registry.setBps(1, 5_000);
        assertEq(settlement.partnerClaimable(1), 30 * VIBES, "a higher share adds nothing to the past");
        _settleCharge(idx, 10 * VIBES, 1);
        assertEq(settlement.partnerClaimable(1), 33 * VIBES, "nor before it is taken over");
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.PartnerTermsApplied(1, 5_000, 110 * VIBES, 33 * VIBES);
        settlement.applyTerms(1);
        _settleCharge(idx, 10 * VIBES, 1);
        assertEq(settlement.partnerClaimable(1), 38 * VIBES, "the new share counts from here");
        ISettlement.PartnerAccount memory entry = settlement.partnerAccount(1);
        assertEq(entry.gross, 120 * VIBES, "gross");
        assertEq(entry.checkpointGross, 110 * VIBES, "checkpoint");
        assertEq(entry.accrued, 33 * VIBES, "accrued");
        assertEq(entry.bps, 5_000, "bps");
        assertEq(settlement.totals().partners, 38 * VIBES, "owed to partners");
    }

    function test_terms_are_taken_over_before_the_first_charge_too() public {
        settlement.applyTerms(1);
        registry.setBps(1, 5_000);
        _settleCharge(idx, 100 * VIBES, 1);
        assertEq(settlement.partnerClaimable(1), 30 * VIBES, "terms that were applied");
        vm.expectRevert(abi.encodeWithSelector(IPartnerRegistry.UnknownPartner.selector, 3));
        settlement.applyTerms(3);
    }

    function test_cutting_usage_into_batches_costs_a_partner_nothing() public {
        for (uint256 i = 0; i < 10; ++i) {
            _settleCharge(idx, 1, 1); // 30 % of one base unit is nothing, ten times over it is three
        }
        assertEq(settlement.partnerClaimable(1), 3, "floor of the sum");
        assertEq(settlement.totals().fee, 1, "fee");
        assertEq(settlement.totals().pool, 1, "pool");
    }

    function test_unknown_partners_earn_and_claim_nothing() public {
        bytes memory refusal = abi.encodeWithSelector(IPartnerRegistry.UnknownPartner.selector, 3);
        _settleReverts(_charge(idx, 5), _partnerWords(3, 5), 5, refusal);
        vm.expectRevert(refusal);
        settlement.claimPartner(3);
        assertTrue(
            ISettlement.UnknownPartner.selector == IPartnerRegistry.UnknownPartner.selector, "one error"
        );
    }

    function test_partner_words_rise_and_are_not_empty() public {
        bytes4 selector = ISettlement.InvalidPartnerWord.selector;
        uint256[] memory words = new uint256[](2);
        (words[0], words[1]) = (1 << 64 | 3, 1 << 64 | 2);
        _settleReverts(_charge(idx, 5), words, 5, abi.encodeWithSelector(selector, words[1]));
        (words[0], words[1]) = (2 << 64 | 3, 1 << 64 | 2);
        _settleReverts(_charge(idx, 5), words, 5, abi.encodeWithSelector(selector, words[1]));
        (words[0], words[1]) = (1 << 64 | 5, 2 << 64);
        _settleReverts(_charge(idx, 5), words, 5, abi.encodeWithSelector(selector, words[1]));
        (words[0], words[1]) = (0 << 64 | 2, 2 << 64 | 3);
        _settle(_charge(idx, 5), words, 5);
        assertEq(settlement.partnerAccount(2).gross, 3, "gross");
    }

    function test_charges_partners_and_receipts_are_one_number() public {
        bytes4 selector = ISettlement.GrossMismatch.selector;
        _settleReverts(_charge(idx, 5), _partnerWords(1, 4), 5, abi.encodeWithSelector(selector, 5, 4, 5));
        _settleReverts(_charge(idx, 5), _partnerWords(1, 6), 5, abi.encodeWithSelector(selector, 5, 6, 5));
        _settleReverts(_charge(idx, 5), _partnerWords(1, 5), 6, abi.encodeWithSelector(selector, 5, 5, 6));
        _settleReverts(_charge(idx, 5), none, 5, abi.encodeWithSelector(selector, 5, 0, 5));
    }

    function test_rewards_come_out_of_the_pool_as_it_stood_before() public {
        bytes4 selector = ISettlement.RewardsExceedPool.selector;
        uint256[] memory both = _slot(_word(idx, 100 * VIBES, 1, 0, 0, false), 0);
        _settleReverts(
            both, _partnerWords(1, 100 * VIBES), 100 * VIBES, abi.encodeWithSelector(selector, 1, 0)
        );
        _settleCharge(idx, 100 * VIBES, 1);
        _settleReverts(
            _slot(_word(idx, 0, 10 * VIBES + 1, 0, 0, false), 0),
            none,
            0,
            abi.encodeWithSelector(selector, 10 * VIBES + 1, 10 * VIBES)
        );
        _settleSlot(_word(idx, 0, 4 * VIBES, 0, 0, false), 0);
        _settleReverts(
            _slot(_word(idx, 0, 6 * VIBES + 1, 0, 0, false), 0),
            none,
            0,
            abi.encodeWithSelector(selector, 6 * VIBES + 1, 6 * VIBES)
        );
        _settleSlot(_word(idx, 0, 6 * VIBES, 0, 0, false), 0);
        assertEq(settlement.totals().rewards, 10 * VIBES, "rewards");
    }

    function test_fee_and_treasury_go_to_the_treasury() public {
        _settleCharge(idx, 100 * VIBES, 1);
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.FeeClaimed(treasury, 15 * VIBES);
        settlement.claimFee();
        vm.expectEmit(true, false, false, true, address(settlement));
        emit ISettlement.TreasuryClaimed(treasury, 39 * VIBES); // all but the rounding reserve of 1 VIBES
        settlement.claimTreasury();
        assertEq(token.balanceOf(treasury), 54 * VIBES, "paid");
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.claimFee();
        vm.expectRevert(ISettlement.NothingToPay.selector);
        settlement.claimTreasury();
    }

    /// @dev The treasury's remainder can fall when other floors rise; without a reserve it could be overpaid.
    function test_the_treasury_is_never_overpaid() public {
        _settleCharge(idx, 100 * VIBES + 9, 1);
        uint256 before = settlement.totals().treasury;
        settlement.claimTreasury();
        _settleCharge(idx, 1, 1); // completes burn, fee, pool and partner share at once
        ISettlement.Totals memory totals = settlement.totals();
        assertTrue(totals.treasury < before, "the remainder fell");
        assertTrue(totals.treasuryPaid <= totals.treasury, "and still covers what was paid");
    }

    function test_policy_is_checked_at_deployment() public {
        Settlement.Config memory settings = config();
        settings.feeBps = 999;
        _invalidPolicy(settings);
        settings.feeBps = 2_001;
        _invalidPolicy(settings);
        settings = config();
        settings.burnBps = 2_501; // 1500 + 2501 + 1000 + the registry's 5000 > 10000
        _invalidPolicy(settings);
        settings = config();
        settings.serviceDeadline = 1 hours - 1;
        _invalidPolicy(settings);
        settings.serviceDeadline = 30 days + 1;
        _invalidPolicy(settings);
        settings = config();
        settings.minFirstDeposit = 0;
        _invalidPolicy(settings);
        settings.minFirstDeposit = 2 ** 54;
        _invalidPolicy(settings);
        settings = config();
        settings.burnBps = 2_500;
        assertEq(new Settlement(settings).burnBps(), 2_500, "the edge is allowed");
    }

    function test_addresses_are_checked_at_deployment() public {
        Settlement.Config memory settings = config();
        settings.token = address(0);
        _zeroAddress(settings);
        settings = config();
        settings.registry = address(0);
        _zeroAddress(settings);
        settings = config();
        settings.treasury = address(0);
        _zeroAddress(settings);
        settings = config();
        settings.operator = address(0);
        _zeroAddress(settings);
        settings = config();
        settings.receiptSigner = address(0);
        _zeroAddress(settings);
    }

    function test_what_is_fixed_can_be_read() public view {
        assertEq(settlement.token(), address(token), "token");
        assertEq(settlement.registry(), address(registry), "registry");
        assertEq(settlement.treasury(), treasury, "treasury");
        assertEq(settlement.feeBps() + settlement.burnBps() + settlement.poolBps(), 3_000, "shares");
        assertEq(settlement.minFirstDeposit(), 1 * VIBES, "minimum");
        assertEq(settlement.serviceDeadline(), 1 days, "deadline");
        assertEq(
            settlement.stateRoot(),
            2552032564376518282841702819316767509420179068591702648971399616023257718747,
            "genesis root"
        );
    }

    /// @dev Splits sum to gross, each a floor of the cumulative total, for any cut into batches and any terms.
    function testFuzz_splits_sum_to_gross(uint64[12] calldata charges, uint16[12] calldata shares) public {
        uint256 gross;
        for (uint256 i = 0; i < charges.length; ++i) {
            uint256 amount = bound(charges[i], 1, 10_000 * VIBES);
            registry.setBps(2, bound(shares[i], 0, MAX_BPS));
            settlement.applyTerms(2);
            uint256 claimableBefore = settlement.partnerClaimable(2);
            _settleCharge(idx, amount, 2);
            gross += amount;
            uint256 earned = settlement.partnerClaimable(2) - claimableBefore;
            uint256 exact = amount * registry.partner(2).bps;
            assertTrue(earned * 10_000 < exact + 10_000 && earned * 10_000 + 10_000 > exact, "share within 1");
        }
        ISettlement.Totals memory totals = settlement.totals();
        assertEq(totals.gross, gross, "gross");
        assertEq(totals.burned, gross * 500 / 10_000, "burned");
        assertEq(totals.fee, gross * 1_500 / 10_000, "fee");
        assertEq(totals.pool, gross * 1_000 / 10_000, "pool");
        assertEq(totals.partners, settlement.partnerClaimable(2), "partners");
        assertEq(
            totals.burned + totals.fee + totals.pool + totals.partners + totals.treasury,
            gross,
            "nothing lost"
        );
    }

    function _invalidPolicy(Settlement.Config memory settings) internal {
        vm.expectRevert(ISettlement.InvalidPolicy.selector);
        new Settlement(settings);
    }

    function _zeroAddress(Settlement.Config memory settings) internal {
        vm.expectRevert(ISettlement.ZeroAddress.selector);
        new Settlement(settings);
    }
}
