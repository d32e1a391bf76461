// BabyJubJub and EdDSA-Poseidon: the session key's curve and signature, cheap to check in a circuit.
//
// A key is A = secret·BASE8. A signature (R8, s) of a field element M holds if s·BASE8 = R8 + 8·h·A with
// h = Poseidon(R8.x, R8.y, A.x, A.y, M). Not constant-time: whoever can measure a page's script can read the page too.
// Source: EIP-2494 (curve), circomlib's eddsaposeidon.circom (signature), add-2008-hwcd and dbl-2008-hwcd (formulas);
// mini_llm/wallet/babyjub.py is the same in Python.

import { keccak256 } from "./keccak.js";
import { P, inverse, poseidon } from "./poseidon.js";

/** Order of the subgroup that BASE8 generates. */
export const SUBORDER = 2736030358979909402780800718157159386076813972158567259200215660948447373041n;

const BASE8 = [
  5299619240641551281634865583518297030282874472190772894086521144482721001553n,
  16950150798460657717958625567821834550301663161624707787222815936182638968203n,
];
const A = 168700n;
const D = 168696n;
const NONCE_TAG = new TextEncoder().encode("VIBES EdDSA-Poseidon nonce");

/**
 * Public key of a secret.
 * @param {bigint} secret in [1, SUBORDER)
 * @returns {[bigint, bigint]} affine coordinates
 */
export function publicKey(secret) {
  if (secret < 1n || secret >= SUBORDER) throw new RangeError("a secret key lies in [1, SUBORDER)");
  return times(BASE8, secret);
}

/**
 * Signs a field element; the same input always gives the same signature.
 * @param {bigint} secret in [1, SUBORDER)
 * @param {bigint} message in [0, P)
 * @returns {{key: [bigint, bigint], r8: [bigint, bigint], s: bigint}}
 */
export function sign(secret, message) {
  const key = publicKey(secret);
  if (message < 0n || message >= P) throw new RangeError("a message lies in [0, P)");
  const nonce = expand([NONCE_TAG, bytes(secret), bytes(message)]) % SUBORDER;
  const r8 = times(BASE8, nonce);
  return { key, r8, s: (nonce + 8n * secret * poseidon([...r8, ...key, message])) % SUBORDER };
}

/**
 * 512 pseudo-random bits from a seed, as a number: two counted keccak-256 blocks.
 * @param {Uint8Array[]} seed its parts
 * @returns {bigint}
 */
export function expand(seed) {
  return (number(keccak256(join([[0], ...seed]))) << 256n) | number(keccak256(join([[1], ...seed])));
}

/** @returns {Uint8Array} a number below 2^256 as 32 bytes, big-endian */
export function bytes(value) {
  const digits = value.toString(16).padStart(64, "0");
  return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));
}

/** @returns {bigint} bytes as a number, big-endian */
export function number(data) {
  return BigInt("0x" + [...data].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
}

/** @returns {Uint8Array} the parts one after the other */
export function join(parts) {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

// Points are (X, Y, Z, T): x = X/Z, y = Y/Z, T = XY/Z. Saves the inversions of affine formulas.

function times([x, y], scalar) {
  const base = [x, y, 1n, (x * y) % P];
  let sum = [0n, 1n, 1n, 0n];
  for (const bit of scalar.toString(2)) {
    sum = double(sum);
    if (bit === "1") sum = add(sum, base);
  }
  const z = inverse(sum[2]);
  return [(sum[0] * z) % P, (sum[1] * z) % P];
}

function add([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const [a, b, c, d] = [x1 * x2, y1 * y2, mod(D * t1) * t2, z1 * z2].map(mod);
  const e = mod((x1 + y1) * (x2 + y2) - a - b);
  return product(e, d - c, d + c, b - A * a);
}

function double([x, y, z]) {
  const [a, b] = [mod(x * x), mod(y * y)];
  const e = mod((x + y) * (x + y) - a - b);
  const g = mod(A * a + b);
  return product(e, g - 2n * z * z, g, A * a - b);
}

function product(e, f, g, h) {
  return [e * f, g * h, f * g, e * h].map(mod);
}

function mod(value) {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}
