// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/poseidon.circom";

// Turns an octal digit into eight selectors.
// @input  bits[3] - {bool} - the digit, lowest bit first; the caller has constrained each to 0 or 1
// @output selected[8] - {bool} - selected[k] = (digit == k): exactly one is 1
template OneHot8() {
    signal input bits[3];
    signal output selected[8];

    signal low3 <== bits[0] * bits[1];
    var low[4] = [1 - bits[0] - bits[1] + low3, bits[0] - low3, bits[1] - low3, low3];
    for (var k = 0; k < 4; k++) {
        selected[4 + k] <== bits[2] * low[k];
        selected[k] <== low[k] - selected[4 + k];
    }
}

// One node of a Merkle path: hashes its eight children.
// @input  digitBits[3] - {bool} - which child is on the path
// @input  child - {field} - that child
// @input  children[8] - {field} - all eight children
// @output node - {field} - Poseidon of the children
template PathStep() {
    signal input digitBits[3];
    signal input child;
    signal input children[8];
    signal output node;

    signal selected[8] <== OneHot8()(digitBits);
    for (var k = 0; k < 8; k++) {
        selected[k] * (children[k] - child) === 0;
    }
    node <== Poseidon(8)(children);
}

// One node of a Merkle path, before and after the update: hashes its eight children twice.
// @input  digitBits[3] - {bool} - which child is on the path
// @input  oldChild - {field} - that child before the update
// @input  newChild - {field} - that child after the update
// @input  children[8] - {field} - all eight children before the update
// @output oldNode, newNode - {field} - Poseidon of the children before and after
template PathNode() {
    signal input digitBits[3];
    signal input oldChild;
    signal input newChild;
    signal input children[8];
    signal output oldNode;
    signal output newNode;

    signal selected[8] <== OneHot8()(digitBits);
    signal newChildren[8];
    for (var k = 0; k < 8; k++) {
        // The child on the path is oldChild; the other seven are bound by the hash below.
        selected[k] * (children[k] - oldChild) === 0;
        // The same seven are hashed into the new node: an update touches one leaf and nothing beside it.
        newChildren[k] <== children[k] + selected[k] * (newChild - oldChild);
    }
    oldNode <== Poseidon(8)(children);
    newNode <== Poseidon(8)(newChildren);
}

// Replaces one leaf of an arity-8 tree and gives the root before and after.
// @input  idxBits[3 * LEVELS] - {bool} - the leaf's index, lowest bit first; all of the index's bits, so no two
//                               indices share a leaf
// @input  oldLeaf, newLeaf - {field}
// @input  children[LEVELS][8] - {field} - from the leaf level upwards, the children of each node on the path
// @output oldRoot, newRoot - {field}
template PathUpdate(LEVELS) {
    signal input idxBits[3 * LEVELS];
    signal input oldLeaf;
    signal input newLeaf;
    signal input children[LEVELS][8];
    signal output oldRoot;
    signal output newRoot;

    signal oldNodes[LEVELS + 1];
    signal newNodes[LEVELS + 1];
    oldNodes[0] <== oldLeaf;
    newNodes[0] <== newLeaf;
    for (var i = 0; i < LEVELS; i++) {
        (oldNodes[i + 1], newNodes[i + 1]) <== PathNode()(
            [idxBits[3 * i], idxBits[3 * i + 1], idxBits[3 * i + 2]], oldNodes[i], newNodes[i], children[i]
        );
    }
    oldRoot <== oldNodes[LEVELS];
    newRoot <== newNodes[LEVELS];
}
