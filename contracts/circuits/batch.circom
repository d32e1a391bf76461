// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/bitify.circom";
include "poseidon.circom";
include "region.circom";
include "slot.circom";

// Poseidon chain over n words: twelve in the first step, then the last digest and eleven more, zero-padded. The number
// of words is fixed by the circuit, so the padding is unambiguous.
// @input  words[n] - {field}
// @output commitment - {field}
template CommitWords(n) {
    signal input words[n];
    signal output commitment;

    var steps = 1;
    while (12 + 11 * (steps - 1) < n) {
        steps++;
    }
    signal digests[steps];
    var next = 0;
    for (var i = 0; i < steps; i++) {
        var inputs[12];
        for (var j = 0; j < 12; j++) {
            inputs[j] = 0;
            if (i > 0 && j == 0) {
                inputs[j] = digests[i - 1];
            } else if (next < n) {
                inputs[j] = words[next];
                next++;
            }
        }
        digests[i] <== Hash(12)(inputs);
    }
    commitment <== digests[steps - 1];
}

// Value at r of the polynomial whose coefficients are the words, lowest first, by Horner's rule.
// @input  words[n], r - {field}
// @output value - {field}
template EvaluateWords(n) {
    signal input words[n];
    signal input r;
    signal output value;

    signal partials[n];
    partials[n - 1] <== words[n - 1];
    for (var i = n - 2; i >= 0; i--) {
        partials[i] <== partials[i + 1] * r + words[i];
    }
    value <== partials[0];
}

// Indices rise strictly until padding begins, and padding lasts to the end: one slot per account.
// @input idx[N] - {Uint24}
// @input padding[N] - {bool}
template SortedSlots(N) {
    signal input idx[N];
    signal input padding[N];

    signal gaps[N - 1];
    for (var i = 1; i < N; i++) {
        padding[i - 1] * (1 - padding[i]) === 0;
        // The difference of two 24-bit numbers, less one, lies in (-2^24 - 1, 2^24): 24 bits mean idx[i] > idx[i - 1].
        gaps[i - 1] <== (1 - padding[i]) * (idx[i] - idx[i - 1] - 1);
        _ <== Num2Bits(24)(gaps[i - 1]);
    }
}

// A batch of N slots in at most K regions takes the account tree from oldRoot to newRoot.
//
// Public are only C, r and y. The contract builds words = [domain, oldRoot, newRoot, w0, w1, w0, w1, ...] from its state
// and calldata, takes r = keccak256(batch number, words, C) mod p and computes y = sum of words[j] * r^j. Since r is
// fixed only after C has bound the words of the witness, other words give the same y for at most n of p values of r.
//
// @input C - {field} - public - commitment to the words
// @input r - {field} - public - the contract's challenge
// @input y - {field} - public - the words' polynomial at r
// @input domain, oldRoot, newRoot - {field}
// @input unitRegion[K] - {Uint12}, unitOld[K], unitNew[K] - {field}, unitChildren[K][4][8] - {field} - see region.circom
// All others hold one value per slot: see Slot.
template Batch(N, K) {
    signal input C;
    signal input r;
    signal input y;
    signal input domain;
    signal input oldRoot;
    signal input newRoot;
    signal input w0[N];
    signal input w1[N];
    signal input used[N];
    signal input keyCommit[N];
    signal input balance[N];
    signal input spent[N];
    signal input key[N][2];
    signal input ceiling[N];
    signal input r8[N][2];
    signal input s[N];
    signal input children[N][4][8];
    signal input unitRegion[K];
    signal input unitOld[K];
    signal input unitNew[K];
    signal input unitChildren[K][4][8];

    signal idx[N];
    signal region[N];
    signal padding[N];
    signal oldSub[N];
    signal newSub[N];
    for (var i = 0; i < N; i++) {
        (oldSub[i], newSub[i], idx[i], region[i], padding[i]) <== Slot(4)(
            domain, w0[i], w1[i], used[i], keyCommit[i], balance[i], spent[i],
            key[i], ceiling[i], r8[i], s[i], children[i]
        );
    }
    SortedSlots(N)(idx, padding);
    LinkRegions(N, K)(region, padding, oldSub, newSub, unitRegion, unitOld, unitNew);
    signal lastRoot <== RegionUpdates(K, 4)(unitRegion, unitOld, unitNew, unitChildren, oldRoot);
    lastRoot === newRoot;

    var n = 3 + 2 * N;
    signal words[n];
    words[0] <== domain;
    words[1] <== oldRoot;
    words[2] <== newRoot;
    for (var i = 0; i < N; i++) {
        words[3 + 2 * i] <== w0[i];
        words[4 + 2 * i] <== w1[i];
    }
    signal commitment <== CommitWords(n)(words);
    commitment === C;
    signal value <== EvaluateWords(n)(words, r);
    value === y;
}
