// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {MAX_AMOUNT, MAX_IDX} from "./Limits.sol";

/// @title The first word of a slot
/// @dev w0 = idx:24 | charge:54 | reward:54 | deposit:54 | withdraw:54 | drain:1, idx in the lowest bits.
/// The second word is the account's new key commitment or 0.
library SlotWords {
    uint256 private constant DEPOSIT_AT = 132;
    uint256 private constant WITHDRAW_AT = 186;
    uint256 private constant DRAIN_AT = 240;

    function idx(uint256 w0) internal pure returns (uint256) {
        return w0 & MAX_IDX;
    }

    function deposit(uint256 w0) internal pure returns (uint256) {
        return (w0 >> DEPOSIT_AT) & MAX_AMOUNT;
    }

    function withdraw(uint256 w0) internal pure returns (uint256) {
        return (w0 >> WITHDRAW_AT) & MAX_AMOUNT;
    }

    function drain(uint256 w0) internal pure returns (bool) {
        return w0 >> DRAIN_AT == 1;
    }
}
