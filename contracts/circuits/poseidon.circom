// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/poseidon_constants.circom";

// circomlib's Poseidon, with its constants and its order of rounds, written for a shared first layer of S-boxes
// (PathNode) and without a signal for every linear step: those would be 7 of 10 constraints before simplification, and
// make the compiler slow. Each S-box is three constraints; nothing else is.
//
// Source: "Poseidon: A New Hash Function for Zero-Knowledge Proof Systems" (ePrint 2019/458), appendix B.

// Rounds with one S-box, for t field elements of state.
function partialRounds(t) {
    var counts[12] = [56, 57, 56, 60, 60, 63, 64, 63, 60, 66, 60, 65];
    return counts[t - 2];
}

// in^5: the S-box. A permutation of the field, since 5 does not divide p - 1.
// @input  in - {field}
// @output out - {field}
template Power5() {
    signal input in;
    signal output out;

    signal square <== in * in;
    signal fourth <== square * square;
    out <== fourth * in;
}

// Everything behind the first layer of S-boxes: 7 full layers, the partial rounds between them, the linear steps.
// @input  boxed[t] - {field} - the state behind the first layer
// @output digest - {field}
template PoseidonTail(t) {
    signal input boxed[t];
    signal output digest;

    var P_ROUNDS = partialRounds(t);
    var C[8 * t + P_ROUNDS] = POSEIDON_C(t);
    var S[P_ROUNDS * (2 * t - 1)] = POSEIDON_S(t);
    var M[t][t] = POSEIDON_M(t);
    var P[t][t] = POSEIDON_P(t);

    signal square[7][t];
    signal fourth[7][t];
    signal fifth[7][t];
    signal partialSquare[P_ROUNDS];
    signal partialFourth[P_ROUNDS];
    signal partialFifth[P_ROUNDS];
    // Linear in the signals above: no constraint until an S-box takes it.
    var state[t];
    var mixed[t];

    for (var i = 0; i < t; i++) {
        state[i] = boxed[i];
    }
    // Layers 1 to 3 before the partial rounds, 4 to 6 and the last behind them.
    for (var r = 1; r <= 7; r++) {
        if (r == 4) {
            for (var i = 0; i < t; i++) {
                mixed[i] = 0;
                for (var j = 0; j < t; j++) {
                    mixed[i] += P[j][i] * (state[j] + C[4 * t + j]);
                }
            }
            for (var q = 0; q < P_ROUNDS; q++) {
                partialSquare[q] <== mixed[0] * mixed[0];
                partialFourth[q] <== partialSquare[q] * partialSquare[q];
                partialFifth[q] <== partialFourth[q] * mixed[0];
                state[0] = partialFifth[q] + C[5 * t + q];
                mixed[0] = S[(2 * t - 1) * q] * state[0];
                for (var i = 1; i < t; i++) {
                    mixed[0] += S[(2 * t - 1) * q + i] * mixed[i];
                    mixed[i] += S[(2 * t - 1) * q + t + i - 1] * state[0];
                }
            }
        } else {
            var first = r < 4 ? r * t : r * t + P_ROUNDS;
            for (var i = 0; i < t; i++) {
                mixed[i] = 0;
                for (var j = 0; j < t; j++) {
                    mixed[i] += M[j][i] * (state[j] + C[first + j]);
                }
            }
        }
        for (var i = 0; i < t; i++) {
            square[r - 1][i] <== mixed[i] * mixed[i];
            fourth[r - 1][i] <== square[r - 1][i] * square[r - 1][i];
            fifth[r - 1][i] <== fourth[r - 1][i] * mixed[i];
            state[i] = fifth[r - 1][i];
        }
    }

    var last = 0;
    for (var j = 0; j < t; j++) {
        last += M[j][0] * state[j];
    }
    digest <== last;
}

// Poseidon of n field elements.
// @input  inputs[n] - {field}
// @output digest - {field}
template Hash(n) {
    signal input inputs[n];
    signal output digest;

    var C[8 * (n + 1) + partialRounds(n + 1)] = POSEIDON_C(n + 1);
    signal boxed[n + 1];
    boxed[0] <== C[0] ** 5; // the capacity is 0
    for (var i = 0; i < n; i++) {
        boxed[i + 1] <== Power5()(inputs[i] + C[i + 1]);
    }
    digest <== PoseidonTail(n + 1)(boxed);
}
