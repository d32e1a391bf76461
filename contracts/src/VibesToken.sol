// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "./base/ERC3009.sol";
import {IVibesToken} from "./interfaces/IVibesToken.sol";

/// @title VIBES token
/// @dev The owner is the minter. EIP-712 domain: name "VIBES", version "1".
contract VibesToken is ERC3009, ERC20Burnable, Ownable2Step {
    /// @inheritdoc IVibesToken
    uint256 public constant CAP = 10 ** 16;

    /// @inheritdoc IVibesToken
    uint256 public totalMinted;

    /// @param owner who may mint
    /// @param grants what is minted at once
    constructor(address owner, Grant[] memory grants)
        ERC20("VIBES", "VIBES")
        ERC20Permit("VIBES")
        Ownable(owner)
    {
        for (uint256 i = 0; i < grants.length; ++i) {
            _mintCapped(grants[i].to, grants[i].amount);
        }
    }

    /// @inheritdoc IVibesToken
    function mint(address to, uint256 amount) external onlyOwner {
        _mintCapped(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function _mintCapped(address to, uint256 amount) private {
        uint256 left = CAP - totalMinted;
        if (amount > left) revert CapExceeded(amount, left);
        totalMinted += amount;
        _mint(to, amount);
    }
}
