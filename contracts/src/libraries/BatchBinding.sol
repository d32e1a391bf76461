// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ISettlement} from "../interfaces/ISettlement.sol";
import {FIELD, MAX_AMOUNT, MAX_IDX} from "./Limits.sol";

/// @title Binds a batch's calldata to its proof, and adds the slots up on the way
/// @dev words = [domain, oldRoot, newRoot, w0 of slot 0, w1 of slot 0, ...]. The proof shows, for the words of its
/// witness, a commitment C and y = sum of words[j] * r^j. Here r is derived from C and *these* words, so a witness
/// with other words gives the same y with probability at most words.length / p.
/// Assembly, because this is the one loop over all of calldata: Solidity's copy and bounds checks would double it.
library BatchBinding {
    /// @dev 54 bits from bit 24 of a slot's first word. Literals, so that assembly can name them.
    uint256 private constant CHARGE_MASK = 0x3fffffffffffff000000;
    /// @dev 54 bits from bit 78.
    uint256 private constant REWARD_MASK = 0xfffffffffffffc0000000000000000000;

    /// @param evaluation y, over all words
    /// @param charges sum of the slots' charges, base units
    /// @param rewards sum of the slots' rewards, base units
    /// @param requests positions in the words of slots that consume a deposit, a withdrawal or a key
    struct Scan {
        uint256 evaluation;
        uint256 charges;
        uint256 rewards;
        uint256[] requests;
    }

    /// @notice r = keccak256(abi.encode(batchNumber, words, C)) mod p.
    function challenge(
        uint256 batchNumber,
        uint256 domain,
        ISettlement.Header calldata header,
        uint256[] calldata words
    ) internal pure returns (uint256 r) {
        assembly ("memory-safe") {
            // abi.encode lays out: batchNumber, offset of words (0x60), C, length, then the words.
            // Written past the free pointer and dropped after hashing.
            let start := mload(0x40)
            mstore(start, batchNumber)
            mstore(add(start, 0x20), 0x60)
            mstore(add(start, 0x40), calldataload(add(header, 0x40))) // commitment
            mstore(add(start, 0x60), add(words.length, 3))
            mstore(add(start, 0x80), domain)
            calldatacopy(add(start, 0xa0), header, 0x40) // oldRoot, newRoot
            let size := shl(5, words.length)
            calldatacopy(add(start, 0xe0), words.offset, size)
            r := mod(keccak256(start, add(size, 0xe0)), FIELD)
        }
    }

    /// @notice Evaluates the words at r, adds up the slots and refuses words that are not canonical.
    function scan(uint256 r, uint256 domain, ISettlement.Header calldata header, uint256[] calldata words)
        internal
        pure
        returns (Scan memory result)
    {
        uint256 y;
        uint256 improper;
        (y, result.charges, result.rewards, improper, result.requests) = _scanSlots(r, words);
        if (improper != 0) _revertAtImproperWord(words);
        y = addmod(mulmod(y, r, FIELD), header.newRoot, FIELD);
        y = addmod(mulmod(y, r, FIELD), header.oldRoot, FIELD);
        result.evaluation = addmod(mulmod(y, r, FIELD), domain, FIELD);
    }

    /// @dev Horner's rule from the last slot to the first. Its sums need no reduction: words are below p < 2^254, or
    /// `improper` gets non-zero and the whole batch is refused. Charges and rewards are added up where they stand in
    /// the word, with room for 2^124 slots. `requests` takes what memory it needs behind the free pointer.
    function _scanSlots(uint256 r, uint256[] calldata words)
        private
        pure
        returns (uint256 y, uint256 charges, uint256 rewards, uint256 improper, uint256[] memory requests)
    {
        assembly ("memory-safe") {
            requests := mload(0x40)
            mstore(requests, 0)
            for { let at := add(words.offset, shl(5, words.length)) } gt(at, words.offset) {} {
                at := sub(at, 0x40)
                let w0 := calldataload(at)
                let w1 := calldataload(add(at, 0x20))
                y := add(mulmod(add(mulmod(y, r, FIELD), w1), r, FIELD), w0)
                charges := add(charges, and(w0, CHARGE_MASK))
                rewards := add(rewards, and(w0, REWARD_MASK))
                if or(shr(132, w0), w1) {
                    improper := or(improper, or(shr(241, w0), iszero(lt(w1, FIELD))))
                    let count := add(mload(requests), 1)
                    mstore(requests, count)
                    mstore(add(requests, shl(5, count)), shr(5, sub(at, words.offset)))
                }
                if iszero(and(w0, MAX_IDX)) { improper := or(improper, or(w0, w1)) }
            }
            charges := shr(24, charges)
            rewards := shr(78, rewards)
            mstore(0x40, add(requests, shl(5, add(mload(requests), 1))))
        }
    }

    /// @dev Finds the word that `_scanSlots` stumbled over, for the error.
    function _revertAtImproperWord(uint256[] calldata words) private pure {
        for (uint256 i = 0; i < words.length; i += 2) {
            uint256 w0 = words[i];
            uint256 w1 = words[i + 1];
            bool padding = w0 & MAX_IDX == 0;
            if (w0 >> 241 != 0 || (padding && w0 != 0)) revert ISettlement.NotCanonical(w0);
            if (w1 >= FIELD || (padding && w1 != 0)) revert ISettlement.NotCanonical(w1);
        }
    }
}
