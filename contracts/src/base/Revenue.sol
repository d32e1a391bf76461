// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IPartnerRegistry} from "../interfaces/IPartnerRegistry.sol";
import {ISettlement} from "../interfaces/ISettlement.sol";
import {BPS, share} from "../libraries/Limits.sol";
import {PartnerShares} from "../libraries/PartnerShares.sol";
import {Custody} from "./Custody.sol";

/// @title Who gets which part of the settled charges
/// @dev Every part is a floor of a *cumulative* total: burned, fee and pool of all gross, each partner's share of the
/// partner's gross; the treasury has what is left. So rounding loses nothing, however usage is cut into batches, and
/// token balance = pending deposits + tree balances + withdrawable + pool + what partners, fee and treasury have not
/// claimed. Totals are 64-bit: settlement stops after 1.8 * 10^19 base units of gross, 1,844 times the token's cap.
abstract contract Revenue is Custody {
    using PartnerShares for uint256;

    /// @dev All that a batch counts, in one storage word. `partners` is the sum of what partners have earned.
    struct Counters {
        uint64 gross;
        uint64 partners;
        uint64 rewards;
        uint64 batchNumber;
    }

    /// @param word what was earned and how more is: all that a batch touches, see PartnerShares
    /// @param paid claimed so far, base units
    struct Partner {
        uint256 word;
        uint64 paid;
    }

    uint256 private constant MIN_FEE_BPS = 1_000;
    uint256 private constant MAX_FEE_BPS = 2_000;
    /// @dev The treasury's share is a remainder of floors, so it can fall by a few base units from one batch to the
    /// next: by at most 3 (burned, fee, pool) plus one per partner, below 3 + 2^16. This much is never claimed.
    uint256 private constant ROUNDING_RESERVE = 1_000_000;

    /// @inheritdoc ISettlement
    address public immutable registry;
    /// @inheritdoc ISettlement
    address public immutable treasury;
    /// @inheritdoc ISettlement
    uint256 public immutable feeBps;
    /// @inheritdoc ISettlement
    uint256 public immutable burnBps;
    /// @inheritdoc ISettlement
    uint256 public immutable poolBps;

    Counters private _counters;
    uint128 private _feePaid;
    uint128 private _treasuryPaid;
    mapping(uint256 partnerId => Partner) private _partners;

    constructor(address registry_, address treasury_, uint256 feeBps_, uint256 burnBps_, uint256 poolBps_) {
        if (registry_ == address(0) || treasury_ == address(0)) revert ZeroAddress();
        if (feeBps_ < MIN_FEE_BPS || feeBps_ > MAX_FEE_BPS) revert InvalidPolicy();
        if (feeBps_ + burnBps_ + poolBps_ + IPartnerRegistry(registry_).maxBps() > BPS) {
            revert InvalidPolicy();
        }
        registry = registry_;
        treasury = treasury_;
        feeBps = feeBps_;
        burnBps = burnBps_;
        poolBps = poolBps_;
    }

    /// @inheritdoc ISettlement
    function claimPartner(uint256 partnerId) external nonReentrant {
        // slither-disable-next-line unused-return -- the share to pay by is the one that was applied
        (address payout,) = IPartnerRegistry(registry).terms(partnerId);
        uint256 amount = partnerClaimable(partnerId);
        if (amount == 0) revert NothingToPay();
        _partners[partnerId].paid += uint64(amount);
        emit PartnerClaimed(partnerId, payout, amount);
        _pay(payout, amount);
    }

    /// @inheritdoc ISettlement
    function claimFee() external nonReentrant {
        uint256 amount = share(_counters.gross, feeBps) - _feePaid;
        if (amount == 0) revert NothingToPay();
        _feePaid += uint128(amount);
        emit FeeClaimed(treasury, amount);
        _pay(treasury, amount);
    }

    /// @inheritdoc ISettlement
    function claimTreasury() external nonReentrant {
        uint256 kept = _treasuryPaid + ROUNDING_RESERVE;
        uint256 earned = totals().treasury;
        if (earned <= kept) revert NothingToPay();
        uint256 amount = earned - kept;
        _treasuryPaid += uint128(amount);
        emit TreasuryClaimed(treasury, amount);
        _pay(treasury, amount);
    }

    /// @inheritdoc ISettlement
    function applyTerms(uint256 partnerId) external {
        uint256 word = _partners[partnerId].word;
        // slither-disable-next-line unused-return -- who is paid is asked when paying
        (, uint256 bps) = IPartnerRegistry(registry).terms(partnerId);
        if (word.known() && bps == word.bps()) return;
        _partners[partnerId].word = _checkpoint(word, partnerId, bps);
    }

    /// @inheritdoc ISettlement
    function batchNumber() public view returns (uint256) {
        return _counters.batchNumber;
    }

    /// @inheritdoc ISettlement
    function partnerAccount(uint256 partnerId) external view returns (PartnerAccount memory) {
        uint256 word = _partners[partnerId].word;
        return PartnerAccount({
            gross: uint128(word.gross()),
            checkpointGross: uint128(word.checkpointGross()),
            accrued: uint128(word.accrued()),
            paid: _partners[partnerId].paid,
            bps: uint16(word.bps())
        });
    }

    /// @inheritdoc ISettlement
    function partnerClaimable(uint256 partnerId) public view returns (uint256) {
        return _partners[partnerId].word.earned() - _partners[partnerId].paid;
    }

    /// @inheritdoc ISettlement
    function totals() public view returns (Totals memory result) {
        Counters memory counters = _counters;
        result.gross = counters.gross;
        result.burned = share(counters.gross, burnBps);
        result.partners = counters.partners;
        result.fee = share(counters.gross, feeBps);
        result.pool = share(counters.gross, poolBps);
        result.treasury = result.gross - result.burned - result.partners - result.fee - result.pool;
        result.rewards = counters.rewards;
        result.feePaid = _feePaid;
        result.treasuryPaid = _treasuryPaid;
    }

    /// @dev Counts one batch: its charges to the parts, its rewards against the pool as it stood before.
    /// @return burned base units to burn for this batch
    function _record(uint256 charges, uint256 rewards, uint256 receiptsTotal, uint256[] calldata partnerWords)
        internal
        returns (uint256 burned)
    {
        Counters memory counters = _counters;
        uint256 pool = share(counters.gross, poolBps) - counters.rewards;
        if (rewards > pool) revert RewardsExceedPool(rewards, pool);
        (uint256 partnerGross, uint256 partnersEarned) = _creditPartners(partnerWords);
        if (partnerGross != charges || receiptsTotal != charges) {
            revert GrossMismatch(charges, partnerGross, receiptsTotal);
        }
        uint256 gross = counters.gross + charges;
        burned = share(gross, burnBps) - share(counters.gross, burnBps);
        counters.gross = SafeCast.toUint64(gross);
        counters.partners = SafeCast.toUint64(counters.partners + partnersEarned);
        counters.rewards = SafeCast.toUint64(counters.rewards + rewards);
        counters.batchNumber += 1;
        _counters = counters;
    }

    /// @dev Ids rise strictly, so that each partner is credited once per batch.
    /// @return gross sum of the words' charges, base units
    /// @return earned what the partners earn by them, base units
    function _creditPartners(uint256[] calldata partnerWords)
        private
        returns (uint256 gross, uint256 earned)
    {
        uint256 lowestId = 0;
        uint256 count = partnerWords.length;
        for (uint256 i = 0; i < count;) {
            uint256 word = partnerWords[i];
            uint256 id = word >> 64;
            uint256 charges = uint64(word);
            if (id < lowestId || charges == 0) revert InvalidPartnerWord(word);
            earned += _creditPartner(id, charges);
            unchecked {
                // An id has 192 bits; so many words that 64-bit charges overflow do not fit into a block.
                lowestId = id + 1;
                gross += charges;
                ++i;
            }
        }
    }

    /// @dev One storage word read and written. Only a partner that was never seen is looked up in the registry.
    function _creditPartner(uint256 id, uint256 charges) private returns (uint256 earned) {
        Partner storage entry = _partners[id];
        uint256 before = entry.word;
        if (!before.known()) {
            // Once for each partner ever, and the registry is part of the deployment.
            // slither-disable-next-line unused-return,calls-loop
            (, uint256 bps) = IPartnerRegistry(registry).terms(id);
            before = _checkpoint(before, id, bps);
        }
        uint256 word = before.add(charges);
        entry.word = word;
        return word.earned() - before.earned();
    }

    /// @dev What was settled before keeps the terms that it was settled at.
    function _checkpoint(uint256 before, uint256 id, uint256 bps) private returns (uint256 word) {
        word = before.checkpoint(bps);
        emit PartnerTermsApplied(id, bps, word.checkpointGross(), word.accrued());
    }
}
