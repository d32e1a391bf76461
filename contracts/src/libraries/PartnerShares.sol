// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {share} from "./Limits.sol";

/// @title What one partner has earned
/// @dev The share is floored on the gross *since the last change of terms*, never per batch, so splitting usage into
/// many batches costs the partner nothing.
library PartnerShares {
    using SafeCast for uint256;

    /// @dev All that a batch touches, in one storage word.
    /// @param gross all charges settled for the partner, base units
    /// @param checkpointGross `gross` when `bps` last changed
    /// @param accrued share earned up to the checkpoint, base units
    /// @param bps share of gross since the checkpoint, basis points
    /// @param known true once terms were taken over from the registry
    struct Terms {
        uint64 gross;
        uint64 checkpointGross;
        uint64 accrued;
        uint16 bps;
        bool known;
    }

    /// @param terms what was earned, and how more is
    /// @param paid claimed so far, base units
    struct Ledger {
        Terms terms;
        uint64 paid;
    }

    /// @dev Base units earned so far, paid or not; never falls.
    function earned(Terms memory self) internal pure returns (uint256) {
        return self.accrued + share(self.gross - self.checkpointGross, self.bps);
    }

    /// @dev New terms count from here on; what was earned stays at the old ones.
    function checkpoint(Terms memory self, uint256 bps) internal pure {
        self.accrued = earned(self).toUint64();
        self.checkpointGross = self.gross;
        self.bps = bps.toUint16();
        self.known = true;
    }

    /// @dev Adds settled charges; returns the base units earned by them.
    function add(Terms memory self, uint256 charges) internal pure returns (uint256) {
        uint256 before = earned(self);
        self.gross = (self.gross + charges).toUint64();
        return earned(self) - before;
    }
}
