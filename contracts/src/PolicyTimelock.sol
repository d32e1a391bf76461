// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title The delay between announcing a change of the rules and its taking effect
/// @dev One address proposes and cancels; anyone may carry out what has waited long enough. There is no admin: roles
/// and delay change by operations that pass the timelock themselves.
contract PolicyTimelock is TimelockController {
    /// @param minDelay seconds that every operation waits
    /// @param proposer who schedules and cancels operations
    constructor(uint256 minDelay, address proposer)
        TimelockController(minDelay, _only(proposer), _only(address(0)), address(0))
    {}

    function _only(address account) private pure returns (address[] memory accounts) {
        accounts = new address[](1);
        accounts[0] = account;
    }
}
