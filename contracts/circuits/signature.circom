// SPDX-License-Identifier: GPL-3.0-or-later
pragma circom 2.1.6;

include "circomlib/circuits/babyjub.circom";
include "circomlib/circuits/bitify.circom";
include "circomlib/circuits/comparators.circom";
include "circomlib/circuits/escalarmulfix.circom";
include "poseidon.circom";
include "scalarmul.circom";

// x coordinate of BASE8, the generator of BabyJubJub's subgroup of prime order l.
function BASE8_X() {
    return 5299619240641551281634865583518297030282874472190772894086521144482721001553;
}

// y coordinate of BASE8.
function BASE8_Y() {
    return 16950150798460657717958625567821834550301663161624707787222815936182638968203;
}

// EdDSA-Poseidon: if enabled, s * BASE8 = r8 + h * 8 * key with h = Poseidon(r8, key, message).
//
// Unlike circomlib's verifier it does not ask s < l. That check makes a signature unique: s and s + l are the same
// point multiple. Nothing here counts or identifies signatures, a second one for the same message grants nothing new,
// and finding s for a fresh message is as hard with it as without. circomlib's other checks are kept, and two are
// added (both points lie on the curve), because its formulas are only sound for curve points.
//
// The curve and key checks hold whether enabled or not; the caller passes BASE8 and (0, 1) where nothing was signed.
//
// @input enabled - {bool}
// @input key[2] - {field} - public key
// @input r8[2] - {field} - the signature's nonce point
// @input s - {Uint253} - the signature's scalar
// @input message - {field}
template SignatureCheck() {
    signal input enabled;
    signal input key[2];
    signal input r8[2];
    signal input s;
    signal input message;

    // On the curve, which is complete: no denominator of BabyAdd vanishes, so its outputs are determined.
    BabyCheck()(key[0], key[1]);
    BabyCheck()(r8[0], r8[1]);

    // 8 * key lies in the subgroup of prime order l. There the only point with x = 0 is the identity, which is what a
    // key of small order becomes; for such a key every h would do.
    component twice = BabyDbl();
    component fourTimes = BabyDbl();
    component eightTimes = BabyDbl();
    twice.x <== key[0];
    twice.y <== key[1];
    fourTimes.x <== twice.xout;
    fourTimes.y <== twice.yout;
    eightTimes.x <== fourTimes.xout;
    eightTimes.y <== fourTimes.yout;
    signal smallOrder <== IsZero()(eightTimes.xout);
    smallOrder === 0;

    signal h <== Hash(5)([r8[0], r8[1], key[0], key[1], message]);
    signal challenged[2] <== ChallengeMul()(h, [eightTimes.xout, eightTimes.yout]);
    component right = BabyAdd();
    right.x1 <== r8[0];
    right.y1 <== r8[1];
    right.x2 <== challenged[0];
    right.y2 <== challenged[1];

    // 2^253 < p: one decomposition of s. EscalarMulFix's summands are never equal, reduced mod l, for any 253 bits:
    // its accumulator starts at 2^250 and ends below 1.58 * 2^250, its windows add at most 2^249, and
    // l = 1.51 * 2^250. (They can be opposite for a value that no signer meets; that proof could not be made.)
    signal sBits[253] <== Num2Bits(253)(s);
    signal left[2] <== EscalarMulFix(253, [BASE8_X(), BASE8_Y()])(sBits);

    enabled * (left[0] - right.xout) === 0;
    enabled * (left[1] - right.yout) === 0;
}
