// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/bitify.circom";
include "circomlib/circuits/comparators.circom";
include "poseidon.circom";
include "signature.circom";

// An account's leaf: Poseidon(keyCommit, balance, spent), or 0 if it was never used.
// @input  used - {bool}
// @input  keyCommit - {field}
// @input  balance, spent - {Uint64} - base units, separate hash inputs: the leaf binds the exact field elements
// @output leaf - {field}
template AccountLeaf() {
    signal input used;
    signal input keyCommit;
    signal input balance;
    signal input spent;
    signal output leaf;

    signal digest <== Hash(3)([keyCommit, balance, spent]);
    leaf <== used * digest;
}

// What a slot does to an account's numbers.
// @input  balance, spent - {Uint64} - base units; in range because they come from a leaf, and every leaf was made here
// @input  charge, reward, deposit, withdraw - {Uint54} - base units
// @input  drain - {bool} - the withdrawal must leave nothing
// @output newBalance - {Uint64} - base units
// @output newSpent - {Uint65} - base units; Authorisation holds it below 2^64
template MoneyUpdate() {
    signal input balance;
    signal input spent;
    signal input charge;
    signal input reward;
    signal input deposit;
    signal input withdraw;
    signal input drain;
    signal output newBalance;
    signal output newSpent;

    // Before the check it lies in (-2^55, 2^64 + 2^55), far from wrapping around p: 64 bits mean neither negative nor
    // too big.
    newBalance <== balance + deposit + reward - charge - withdraw;
    _ <== Num2Bits(64)(newBalance);

    // Below 2^64 + 2^54, far from wrapping.
    newSpent <== spent + charge;

    drain * newBalance === 0;
}

// If the slot charges, the account's key signed a ceiling that covers everything spent so far.
// If it does not, the key is not opened (one that nobody can open blocks no batch) and the unused inputs are fixed,
// so that a batch has one witness but for the signature's own freedom.
// @input domain - {field} - the deployment: a ceiling signed for another is a signature on another message
// @input idx - {Uint24}
// @input charge - {Uint54} - base units
// @input newSpent - {Uint65} - base units, this charge included
// @input keyCommit - {field} - the commitment that authorises this slot
// @input key[2] - {field} - the key behind it; BASE8 when nothing is charged
// @input ceiling - {Uint64} - base units, signed; newSpent when nothing is charged
// @input r8[2], s - {field}, {Uint253} - the signature; (0, 1) and 0 when nothing is charged
template Authorisation() {
    signal input domain;
    signal input idx;
    signal input charge;
    signal input newSpent;
    signal input keyCommit;
    signal input key[2];
    signal input ceiling;
    signal input r8[2];
    signal input s;

    signal uncharged <== IsZero()(charge);
    signal charged <== 1 - uncharged;

    signal opened <== Hash(2)(key);
    charged * (opened - keyCommit) === 0;

    // Both are small, so the difference is negative, and then near p, exactly if the ceiling is too low. Together:
    // newSpent <= ceiling < 2^64, so what enters the leaf is in range whether something is charged or not.
    _ <== Num2Bits(64)(ceiling);
    _ <== Num2Bits(64)(ceiling - newSpent);

    signal message <== Hash(3)([domain, idx, ceiling]);
    SignatureCheck()(charged, key, r8, s, message);

    uncharged * (key[0] - BASE8_X()) === 0;
    uncharged * (key[1] - BASE8_Y()) === 0;
    uncharged * (ceiling - newSpent) === 0;
    uncharged * (r8[1] - 1) === 0; // the only point of the curve with y = 1 is (0, 1)
    uncharged * s === 0;
}
