// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "poseidon.circom";

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
    node <== Hash(8)(children);
}

// One node of a Merkle path, before and after the update: hashes its eight children twice.
//
// Seven children are the same in both hashes, so the first layer of S-boxes is shared. With e = the eighth's round
// constant, which the digit selects: newBox = (newChild + e)^5 takes the eighth's place in the second hash, and the
// eighth of the first hash is held to oldBox = (oldChild + e)^5. Fifth powers are unique, so that holds exactly if the
// child on the path is oldChild.
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

    var C[135] = POSEIDON_C(9);
    signal selected[8] <== OneHot8()(digitBits);
    var constant = 0;
    for (var k = 0; k < 8; k++) {
        constant += selected[k] * C[k + 1];
    }
    signal oldBox <== Power5()(oldChild + constant);
    signal newBox <== Power5()(newChild + constant);

    signal oldBoxed[9];
    signal newBoxed[9];
    signal changes[8];
    oldBoxed[0] <== C[0] ** 5; // the capacity is 0
    newBoxed[0] <== C[0] ** 5;
    var selectedChange = 0;
    for (var k = 0; k < 8; k++) {
        oldBoxed[k + 1] <== Power5()(children[k] + C[k + 1]);
        // 0 off the path: an update touches one leaf and nothing beside it.
        changes[k] <== selected[k] * (newBox - oldBoxed[k + 1]);
        newBoxed[k + 1] <== oldBoxed[k + 1] + changes[k];
        selectedChange += changes[k];
    }
    // Exactly one digit is selected: the sum is newBox less the box of the child on the path.
    selectedChange === newBox - oldBox;

    oldNode <== PoseidonTail(9)(oldBoxed);
    newNode <== PoseidonTail(9)(newBoxed);
}

// Replaces one node of an arity-8 tree, LEVELS below the top, and gives the top before and after.
// @input  indexBits[3 * LEVELS] - {bool} - the node's place, lowest bit first
// @input  oldBottom, newBottom - {field} - the node
// @input  children[LEVELS][8] - {field} - from the bottom upwards, the children of each node on the path
// @output oldTop, newTop - {field}
template PathUpdate(LEVELS) {
    signal input indexBits[3 * LEVELS];
    signal input oldBottom;
    signal input newBottom;
    signal input children[LEVELS][8];
    signal output oldTop;
    signal output newTop;

    signal oldNodes[LEVELS + 1];
    signal newNodes[LEVELS + 1];
    oldNodes[0] <== oldBottom;
    newNodes[0] <== newBottom;
    for (var i = 0; i < LEVELS; i++) {
        (oldNodes[i + 1], newNodes[i + 1]) <== PathNode()(
            [indexBits[3 * i], indexBits[3 * i + 1], indexBits[3 * i + 2]], oldNodes[i], newNodes[i], children[i]
        );
    }
    oldTop <== oldNodes[LEVELS];
    newTop <== newNodes[LEVELS];
}
