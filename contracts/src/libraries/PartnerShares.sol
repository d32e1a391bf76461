// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {BPS} from "./Limits.sol";

/// @title What one partner has earned, in one storage word
/// @dev The share is floored on the gross *since the last change of terms*, never per batch, so splitting usage into
/// many batches costs the partner nothing.
/// word = gross:64 | gross at the last change of terms:64 | earned up to then:64 | bps:16 | known:1, gross in the
/// lowest bits; base units. `known` is set once terms were taken over from the registry.
library PartnerShares {
    uint256 private constant KNOWN = 1 << 208;

    function gross(uint256 word) internal pure returns (uint256) {
        return uint64(word);
    }

    function checkpointGross(uint256 word) internal pure returns (uint256) {
        return uint64(word >> 64);
    }

    function accrued(uint256 word) internal pure returns (uint256) {
        return uint64(word >> 128);
    }

    function bps(uint256 word) internal pure returns (uint256) {
        return uint16(word >> 192);
    }

    function known(uint256 word) internal pure returns (bool) {
        return word & KNOWN != 0;
    }

    /// @dev Base units earned so far, paid or not; never falls.
    function earned(uint256 word) internal pure returns (uint256) {
        unchecked {
            // Gross never falls, and 64 bits times 16 bits have room.
            return accrued(word) + (gross(word) - checkpointGross(word)) * bps(word) / BPS;
        }
    }

    /// @dev New terms, at most 10000 bps, count from here on; what was earned stays at the old ones.
    function checkpoint(uint256 word, uint256 newBps) internal pure returns (uint256) {
        return gross(word) | gross(word) << 64 | earned(word) << 128 | newBps << 192 | KNOWN;
    }

    /// @dev Adds settled charges. The sum must fit 64 bits; it does if the gross of all partners together does.
    function add(uint256 word, uint256 charges) internal pure returns (uint256) {
        unchecked {
            return word + charges;
        }
    }
}
