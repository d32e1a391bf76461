// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {FrozenAccounts} from "../src/libraries/FrozenAccounts.sol";
import {PartnerShares} from "../src/libraries/PartnerShares.sol";
import {SlotWords} from "../src/libraries/SlotWords.sol";
import {Base} from "./Base.sol";

/// @dev The packed representations against plain ones.
contract LibrariesTest is Base {
    using FrozenAccounts for FrozenAccounts.Set;
    using PartnerShares for uint256;

    FrozenAccounts.Set private _set;
    mapping(uint256 idx => bool) private _naive;

    /// @dev The first frozen account in a batch, by bitmap and by a flag for each account.
    function testFuzz_bitmap_equals_a_flag_for_each_account(uint24[12] memory frozen, uint24[24] memory batch)
        public
    {
        for (uint256 i = 0; i < frozen.length; ++i) {
            if (frozen[i] == 0) continue;
            _set.add(frozen[i]);
            _naive[frozen[i]] = true;
            // Neighbours in the block and in the region, and the account itself among the slots.
            batch[2 * i] = i % 4 == 0 ? frozen[i] : i % 4 == 1 ? frozen[i] ^ 1 : frozen[i] ^ 0x100;
        }
        uint256[] memory words = new uint256[](2 * batch.length);
        uint256 expected;
        for (uint256 i = 0; i < batch.length; ++i) {
            words[2 * i] = batch[i] | uint256(i + 1) << 24; // what else is in a word does not matter
            words[2 * i + 1] = type(uint256).max;
            if (expected == 0 && _naive[batch[i]]) expected = batch[i];
        }
        assertEq(this.firstIn(words), expected, "first frozen account");
    }

    function firstIn(uint256[] calldata words) external view returns (uint256) {
        return _set.firstIn(words);
    }

    function test_an_empty_set_has_nobody() public view {
        uint256[] memory words = new uint256[](8);
        (words[0], words[2]) = (1, type(uint24).max);
        assertEq(this.firstIn(words), 0, "nobody");
    }

    function testFuzz_slot_words(uint24 idx, uint256 raw, uint64 deposited, uint64 withdrawn, bool drain)
        public
        pure
    {
        deposited &= 0x3fffffffffffff;
        withdrawn &= 0x3fffffffffffff;
        uint256 rest = (raw & ((1 << 108) - 1)) << 24; // charge and reward
        uint256 word = idx | rest | uint256(deposited) << 132 | uint256(withdrawn) << 186
            | (drain ? uint256(1) : 0) << 240;
        assertEq(SlotWords.idx(word), idx, "idx");
        assertEq(SlotWords.deposit(word), deposited, "deposit");
        assertEq(SlotWords.withdraw(word), withdrawn, "withdraw");
        assertTrue(SlotWords.drain(word) == drain, "drain");
    }

    /// @dev A partner's word against numbers kept apart, over changes of terms.
    function testFuzz_partner_word(uint48[16] calldata charges, uint16[16] calldata shares) public pure {
        uint256 word;
        uint256 gross;
        uint256 accrued;
        uint256 since;
        uint256 bps;
        for (uint256 i = 0; i < charges.length; ++i) {
            if (i % 3 == 0) {
                accrued += (gross - since) * bps / 10_000;
                (since, bps) = (gross, shares[i] % 10_001);
                word = word.checkpoint(bps);
            }
            gross += charges[i];
            word = word.add(charges[i]);
            assertTrue(word.known(), "known");
            assertEq(word.gross(), gross, "gross");
            assertEq(word.checkpointGross(), since, "checkpoint");
            assertEq(word.accrued(), accrued, "accrued");
            assertEq(word.bps(), bps, "bps");
            assertEq(word.earned(), accrued + (gross - since) * bps / 10_000, "earned");
        }
    }
}
