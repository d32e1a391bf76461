// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/bitify.circom";
include "path.circom";
include "poseidon.circom";

// Account `idx` holds `balance` base units in the tree with this root. Who knows the tree can show it, without the
// operator and without the account's key.
//
// The leaf is always a digest here, never the 0 of an unused account: a preimage of 0 is not known, and it would have
// to lie in the tree. An inner node cannot pass as a leaf either: it hashes eight values, a leaf three.
//
// @input root - {field} - public
// @input idx - {Uint24} - public
// @input balance - {Uint64} - public - base units; in range because it comes from a leaf, and batches made every leaf
// @input keyCommit - {field}, spent - {Uint64} - the rest of the leaf
// @input children[LEVELS][8] - {field} - from the leaf level upwards, the children of each node on the path
template Exit(LEVELS) {
    signal input root;
    signal input idx;
    signal input balance;
    signal input keyCommit;
    signal input spent;
    signal input children[LEVELS][8];

    // 24 bits < p: one decomposition, and an index of 2^24 or more, which would name another leaf twice, has none.
    signal idxBits[3 * LEVELS] <== Num2Bits(3 * LEVELS)(idx);

    signal nodes[LEVELS + 1];
    nodes[0] <== Hash(3)([keyCommit, balance, spent]);
    for (var i = 0; i < LEVELS; i++) {
        nodes[i + 1] <== PathStep()([idxBits[3 * i], idxBits[3 * i + 1], idxBits[3 * i + 2]], nodes[i], children[i]);
    }
    nodes[LEVELS] === root;
}
