// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title VIBES: the unit that AI calls are priced and settled in
/// @notice ERC-20 with 6 decimals (1 VIBES = 1_000_000 base units), ERC-2612 permits and ERC-3009 authorisations.
/// At most `CAP` base units are ever minted, so that every amount fits in 54 bits; what was burned stays burned.
/// @dev The overloads with `bytes signature` accept ERC-1271 contract wallets too, as USDC 2.2 does.
/// Source: https://eips.ethereum.org/EIPS/eip-3009
interface IVibesToken {
    /// @notice Base units that exist from the start.
    struct Grant {
        address to;
        uint256 amount;
    }

    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    /// @notice Minting `amount` would bring everything ever minted over `CAP`; `left` can still be minted.
    error CapExceeded(uint256 amount, uint256 left);
    /// @notice The authorisation was used or cancelled before.
    error AuthorizationUsedOrCanceled(address authorizer, bytes32 nonce);
    error AuthorizationNotYetValid(uint256 validAfter);
    error AuthorizationExpired(uint256 validBefore);
    error InvalidAuthorizationSignature();
    /// @notice Only the payee may present a `receiveWithAuthorization`.
    error CallerNotPayee(address caller, address payee);

    /// @notice Creates `amount` base units for `to`. Owner only.
    function mint(address to, uint256 amount) external;

    /// @notice Moves `value` as signed by `from`; anyone may present it.
    /// @param validAfter unix seconds after which the authorisation holds
    /// @param validBefore unix seconds before which it holds
    /// @param nonce any unused 32 bytes
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice As above, with the signature in one piece.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external;

    /// @notice Moves `value` as signed by `from`; only `to` may present it, so nobody can front-run the payee.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice As above, with the signature in one piece.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external;

    /// @notice Makes an unused authorisation worthless, as signed by its author.
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice As above, with the signature in one piece.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes memory signature) external;

    /// @notice True once the authorisation was used or cancelled.
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);

    /// @notice Most base units that can ever be minted: 10^16, below 2^54.
    function CAP() external view returns (uint256);

    /// @notice Base units minted so far, burned ones included.
    function totalMinted() external view returns (uint256);
}
