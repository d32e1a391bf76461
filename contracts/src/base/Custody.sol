// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {ISettlement} from "../interfaces/ISettlement.sol";
import {IVibesToken} from "../interfaces/IVibesToken.sol";

/// @title The settlement's hold of the token: the only code that moves it
abstract contract Custody is ISettlement, ReentrancyGuard {
    using SafeERC20 for IERC20;

    IERC20 internal immutable _token;

    constructor(address token_) {
        if (token_ == address(0)) revert ZeroAddress();
        _token = IERC20(token_);
    }

    /// @inheritdoc ISettlement
    function token() external view returns (address) {
        return address(_token);
    }

    /// @dev Takes `amount` out of an allowance. What was credited must arrive, whatever the token does.
    function _pull(address from, uint256 amount) internal {
        uint256 before = _token.balanceOf(address(this));
        // `from` is the caller, or signed the intent that is carried out.
        // slither-disable-next-line arbitrary-send-erc20
        _token.safeTransferFrom(from, address(this), amount);
        _requireReceived(before, amount);
    }

    /// @dev Takes `amount` by an ERC-3009 authorisation whose signature is `v`, `r`, `s`.
    function _pullAuthorized(
        address from,
        uint256 amount,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) internal {
        uint256 before = _token.balanceOf(address(this));
        IVibesToken(address(_token))
            .receiveWithAuthorization(from, address(this), amount, validAfter, validBefore, nonce, v, r, s);
        _requireReceived(before, amount);
    }

    function _pay(address to, uint256 amount) internal {
        _token.safeTransfer(to, amount);
    }

    function _burn(uint256 amount) internal {
        ERC20Burnable(address(_token)).burn(amount);
    }

    function _requireReceived(uint256 before, uint256 amount) private view {
        uint256 received = _token.balanceOf(address(this)) - before;
        if (received != amount) revert UnexpectedTransfer(amount, received);
    }
}
