// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/bitify.circom";
include "circomlib/circuits/comparators.circom";
include "account.circom";
include "path.circom";

// Number that `width` bits from `start` on spell, lowest bit first.
function weightedSum(bits, start, width) {
    var sum = 0;
    for (var i = 0; i < width; i++) {
        sum += bits[start + i] * 2 ** i;
    }
    return sum;
}

// Splits a slot's first word: idx:24 | charge:54 | reward:54 | deposit:54 | withdraw:54 | drain:1, lowest bits first.
// 241 bits < p: one decomposition, and a word of 2^241 or more has none.
// @input  w0 - {Uint241}
// @output idxBits[24] - {bool}
// @output idx - {Uint24}
// @output charge, reward, deposit, withdraw - {Uint54} - base units
// @output drain - {bool}
template DecodeWord() {
    signal input w0;
    signal output idxBits[24];
    signal output idx;
    signal output charge;
    signal output reward;
    signal output deposit;
    signal output withdraw;
    signal output drain;

    signal bits[241] <== Num2Bits(241)(w0);
    for (var i = 0; i < 24; i++) {
        idxBits[i] <== bits[i];
    }
    idx <== weightedSum(bits, 0, 24);
    charge <== weightedSum(bits, 24, 54);
    reward <== weightedSum(bits, 78, 54);
    deposit <== weightedSum(bits, 132, 54);
    withdraw <== weightedSum(bits, 186, 54);
    drain <== bits[240];
}

// One account's update: the subtree of its region with top oldSub becomes that with top newSub, in one leaf only.
//
// @input  domain - {field} - keccak256(chain id, settlement contract) mod p
// @input  w0 - {Uint241}, w1 - {field} - the slot's words; w1 is a new key commitment or 0
// @input  used - {bool} - whether the account's leaf is set
// @input  keyCommit - {field}, balance, spent - {Uint64} - the account before this slot, zeros if unused
// @input  key[2], ceiling, r8[2], s - see Authorisation
// @input  children[LEVELS][8] - {field} - the account's path in its region, see PathUpdate
// @output oldSub, newSub - {field} - the region's subtree before and after this slot; alike for padding
// @output idx - {Uint24} - 0 for padding
// @output region - {Uint(24 - 3 * LEVELS)} - the index's high bits: which of the tree's regions
// @output padding - {bool}
template Slot(LEVELS) {
    signal input domain;
    signal input w0;
    signal input w1;
    signal input used;
    signal input keyCommit;
    signal input balance;
    signal input spent;
    signal input key[2];
    signal input ceiling;
    signal input r8[2];
    signal input s;
    signal input children[LEVELS][8];
    signal output oldSub;
    signal output newSub;
    signal output idx;
    signal output region;
    signal output padding;

    component word = DecodeWord();
    word.w0 <== w0;
    idx <== word.idx;

    // Padding is index 0: it carries no amount, key or flag.
    padding <== IsZero()(idx);
    padding * w0 === 0;

    // An account that was never used holds nothing. Used accounts have keyCommit != 0: w1 opens them and w1 = 0 never
    // replaces a key.
    used * (used - 1) === 0;
    (1 - used) * keyCommit === 0;
    (1 - used) * balance === 0;
    (1 - used) * spent === 0;

    // A slot that is not padding leaves a used account: it was one, or w1 opens it now. Padding is neither, so w1 = 0.
    signal keepsKey <== IsZero()(w1);
    (1 - used) * keepsKey === padding;

    // At most one summand of each is not 0: keyCommit = 0 if unused, w1 = 0 if the key is kept.
    signal newKeyCommit <== w1 + keepsKey * keyCommit;
    // Old charges are authorised by the old key, whatever key comes next; a fresh account has only its new one.
    signal authorisingKey <== keyCommit + (1 - used) * w1;

    signal newBalance; // {Uint64}
    signal newSpent; // {Uint64} once Authorisation has compared it with the ceiling
    (newBalance, newSpent) <== MoneyUpdate()(
        balance, spent, word.charge, word.reward, word.deposit, word.withdraw, word.drain
    );
    Authorisation()(domain, idx, word.charge, newSpent, authorisingKey, key, ceiling, r8, s);

    signal oldLeaf <== AccountLeaf()(used, keyCommit, balance, spent);
    signal newLeaf <== AccountLeaf()(1 - padding, newKeyCommit, newBalance, newSpent);
    signal placeBits[3 * LEVELS]; // {bool}
    for (var i = 0; i < 3 * LEVELS; i++) {
        placeBits[i] <== word.idxBits[i];
    }
    region <== weightedSum(word.idxBits, 3 * LEVELS, 24 - 3 * LEVELS);
    (oldSub, newSub) <== PathUpdate(LEVELS)(placeBits, oldLeaf, newLeaf, children);
}
