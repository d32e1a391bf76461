// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/babyjub.circom";
include "circomlib/circuits/montgomery.circom";

// BabyJubJub as a Montgomery curve: v^2 = u^3 + A u^2 + u.
function MONTGOMERY_A() {
    return 168698;
}

// 2 * acc + point, in five constraints: the slope of acc + point, its u, the slope of adding acc again, and the result.
// The v of acc + point is not needed: (slope + next) * (acc.u - sum.u) = 2 * acc.v.
//
// The caller sees to it that acc is not +-point and 2 * acc is not -point: then no denominator is 0, both slopes are
// determined, and no sum is the point at infinity.
// @input  acc[2], point[2] - {field} - Montgomery coordinates of two points of the curve
// @output out[2] - {field}
template DoubleAdd() {
    signal input acc[2];
    signal input point[2];
    signal output out[2];

    signal slope <-- (point[1] - acc[1]) / (point[0] - acc[0]);
    slope * (point[0] - acc[0]) === point[1] - acc[1];
    signal sum <== slope * slope - MONTGOMERY_A() - acc[0] - point[0];
    signal next <-- 2 * acc[1] / (acc[0] - sum) - slope;
    (slope + next) * (acc[0] - sum) === 2 * acc[1];
    out[0] <== next * next - MONTGOMERY_A() - acc[0] - sum;
    out[1] <== next * (acc[0] - out[0]) - acc[1];
}

// 2 * acc + point if `positive`, else 2 * acc - point, by the complete Edwards formulas.
// @input  acc[2], point[2] - {field} - Edwards coordinates of two points of the curve
// @input  positive - {bool}
// @output out[2] - {field}
template CompleteDoubleAdd() {
    signal input acc[2];
    signal input point[2];
    signal input positive;
    signal output out[2];

    component twice = BabyDbl();
    twice.x <== acc[0];
    twice.y <== acc[1];
    component sum = BabyAdd();
    sum.x1 <== twice.xout;
    sum.y1 <== twice.yout;
    sum.x2 <== (2 * positive - 1) * point[0];
    sum.y2 <== point[1];
    out <== [sum.xout, sum.yout];
}

// (-2^253 - 1) mod l, l being the order of the subgroup: what ChallengeMul adds to its scalar, and its ladder takes off.
function CHALLENGE_OFFSET() {
    return 1942170999214931988738431182856967834802135749746333050269095964701543033253;
}

// The lowest 254 bits of a + b, for two numbers below p: the sum itself is no field element.
function sumBits(a, b) {
    var bits[254];
    var carry = 0;
    for (var i = 0; i < 254; i++) {
        var digit = ((a >> i) & 1) + ((b >> i) & 1) + carry;
        bits[i] = digit & 1;
        carry = digit >> 1;
    }
    return bits;
}

// h' * base for an h' with h' = h mod p: h itself, or what lies p beside it.
//
// v = h' + offset is given by 254 bits that spell h + offset mod p. Not every v is below p, so up to two v fit one h: the
// first is h + offset < p + l < 2^254, the other lies p above or below it. Two challenges instead of one double a
// forger's chance, which is that of hitting a fixed number mod l: one bit of 250.
//
// Each bit but the lowest moves the accumulator m * base to (2m + 1) * base or (2m - 1) * base. From m = 2 on, after k
// bits that spell u, m = 2^k + 1 + 2u, so 1 < m < 3 * 2^k. Up to 249 bits m stays below l (3 * 2^249 < l), hence never
// is +-1 or 0 mod l, and DoubleAdd is safe whatever the bits are. The last four steps and the lowest bit use complete
// formulas. In the end m = 2^253 + 1 + v = h' mod l.
// @input  h - {field}
// @input  base[2] - {field} - Edwards coordinates of a point of order l
// @output out[2] - {field} - Edwards coordinates
template ChallengeMul() {
    signal input h;
    signal input base[2];
    signal output out[2];

    var hint[254] = sumBits(h, CHALLENGE_OFFSET());
    signal bits[254]; // {bool}
    var spelled = 0;
    for (var i = 0; i < 254; i++) {
        bits[i] <-- hint[i];
        bits[i] * (bits[i] - 1) === 0;
        spelled += bits[i] * 2 ** i;
    }
    spelled === h + CHALLENGE_OFFSET();

    // Of odd order and not the identity: its coordinates, and those of its multiples below l, exist on both curves.
    signal point[2] <== Edwards2Montgomery()(base);
    signal steps[250][2];
    steps[0] <== MontgomeryDouble()(point);
    for (var k = 0; k < 249; k++) {
        steps[k + 1] <== DoubleAdd()(steps[k], [point[0], (2 * bits[253 - k] - 1) * point[1]]);
    }

    signal complete[5][2];
    complete[0] <== Montgomery2Edwards()(steps[249]);
    for (var k = 0; k < 4; k++) {
        complete[k + 1] <== CompleteDoubleAdd()(complete[k], base, bits[4 - k]);
    }
    component last = BabyAdd();
    last.x1 <== complete[4][0];
    last.y1 <== complete[4][1];
    last.x2 <== bits[0] * base[0];
    last.y2 <== 1 + bits[0] * (base[1] - 1);
    out <== [last.xout, last.yout];
}
