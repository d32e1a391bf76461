// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MAX_IDX} from "./Limits.sol";

/// @title Which accounts are frozen
/// @dev A bitmap of three levels, 256 bits each: regions of 2^16 accounts, blocks of 2^8, accounts. A batch pays for
/// one word, and two more for each part of the tree that has a frozen account; open accounts elsewhere cost nothing.
library FrozenAccounts {
    uint256 private constant REGION_BITS = 16;
    uint256 private constant BLOCK_BITS = 8;
    /// @dev No region or block has this number.
    uint256 private constant NONE = type(uint256).max;

    /// @param regions bit idx >> 16 of an account that is in the set
    /// @param blocks by region, bit (idx >> 8) mod 256
    /// @param accounts by block, bit idx mod 256
    struct Set {
        uint256 regions;
        mapping(uint256 region => uint256) blocks;
        mapping(uint256 block => uint256) accounts;
    }

    function add(Set storage self, uint256 idx) internal {
        self.regions |= 1 << (idx >> REGION_BITS);
        self.blocks[idx >> REGION_BITS] |= 1 << ((idx >> BLOCK_BITS) & 0xff);
        self.accounts[idx >> BLOCK_BITS] |= 1 << (idx & 0xff);
    }

    /// @dev The first account in the slots that is in the set, 0 if there is none. Slots come sorted, so that each
    /// word is read once; unsorted ones would only cost more. Account 0 is never in a set.
    function firstIn(Set storage self, uint256[] calldata words) internal view returns (uint256 idx) {
        uint256 regions = self.regions;
        (uint256 region, uint256 blocks) = (NONE, 0);
        (uint256 present, uint256 accounts) = (NONE, 0); // the block that slots are in, and its word
        uint256 count = words.length;
        for (uint256 i = 0; i < count; i = _next(i)) {
            assembly ("memory-safe") {
                idx := and(calldataload(add(words.offset, shl(5, i))), MAX_IDX)
            }
            if (idx >> BLOCK_BITS != present) {
                present = idx >> BLOCK_BITS;
                if (idx >> REGION_BITS != region) {
                    region = idx >> REGION_BITS;
                    blocks = (regions >> region) & 1 == 0 ? 0 : self.blocks[region];
                }
                accounts = (blocks >> (present & 0xff)) & 1 == 0 ? 0 : self.accounts[present];
            }
            if ((accounts >> (idx & 0xff)) & 1 == 1) return idx;
        }
        return 0;
    }

    /// @dev Two words a slot; no calldata is long enough to overflow this.
    function _next(uint256 i) private pure returns (uint256) {
        unchecked {
            return i + 2;
        }
    }
}
