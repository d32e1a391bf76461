// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

// Numbers that contract, circuit and Python agree on: the same are in mini_llm/wallet/limits.py and in
// contracts/circuits. Constants of the file, not of a library, so that assembly can name them.

/// @dev BN254 scalar field: circuit signals, roots and commitments are below it.
uint256 constant FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617;
/// @dev Root of the account tree (arity 8, 8 levels) with every leaf 0.
uint256 constant GENESIS_ROOT = 2552032564376518282841702819316767509420179068591702648971399616023257718747;
/// @dev Highest account index, 24 bits; index 0 is padding.
uint256 constant MAX_IDX = 0xffffff;
/// @dev Highest amount in a slot, 54 bits.
uint256 constant MAX_AMOUNT = 0x3fffffffffffff;
/// @dev Basis points of a whole.
uint256 constant BPS = 10_000;

/// @dev floor(amount * bps / 10000)
function share(uint256 amount, uint256 bps) pure returns (uint256) {
    return amount * bps / BPS;
}
