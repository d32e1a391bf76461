// Poseidon over BN254, equal to circomlib's: the first element of the permuted state (0, inputs…). x^5 S-box, 8 full
// rounds. The constants are drawn from the Grain LFSR as the paper says, which is quicker than to load them.
// Source: https://eprint.iacr.org/2019/458, appendices B, E and F; mini_llm/wallet/poseidon.py is the same in Python.

/** Modulus of the scalar field of BN254. */
export const P = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;

const FULL_ROUNDS = 8;
const PARTIAL_ROUNDS = [56, 57, 56, 60, 60]; // for 1 to 5 inputs
const FIELD_BITS = 254;
const known = new Map();

/**
 * Hash of 1 to 5 field elements.
 * @param {bigint[]} inputs each in [0, P)
 * @returns {bigint} in [0, P)
 */
export function poseidon(inputs) {
  if (inputs.length < 1 || inputs.length > PARTIAL_ROUNDS.length) throw new RangeError("Poseidon takes 1 to 5 inputs");
  if (inputs.some((value) => value < 0n || value >= P)) throw new RangeError("an input lies outside [0, P)");
  const width = inputs.length + 1;
  if (!known.has(width)) known.set(width, constants(width));
  const { rounds, matrix } = known.get(width);
  let state = [0n, ...inputs];
  rounds.forEach((row, number) => {
    const partial = number >= FULL_ROUNDS / 2 && number < rounds.length - FULL_ROUNDS / 2;
    state = state.map((value, i) => (value + row[i]) % P);
    state = state.map((value, i) => (partial && i > 0 ? value : fifth(value)));
    state = matrix.map((weights) => weights.reduce((sum, weight, i) => sum + weight * state[i], 0n) % P);
  });
  return state[0];
}

/** @returns {bigint} value^-1 mod P, for 0 < value < P */
export function inverse(value) {
  let [r0, r1, t0, t1] = [P, value, 0n, 1n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1] = [r1, r0 - quotient * r1];
    [t0, t1] = [t1, t0 - quotient * t1];
  }
  return t0 < 0n ? t0 + P : t0;
}

function fifth(value) {
  const square = (value * value) % P;
  return (((square * square) % P) * value) % P;
}

// Round constants and MDS matrix of the permutation of `width` elements.
function constants(width) {
  const partial = PARTIAL_ROUNDS[width - 2];
  const next = grain(width, partial);
  const draw = () => {
    let bits = "0b";
    for (let i = 0; i < FIELD_BITS; i++) bits += next();
    return BigInt(bits);
  };
  const canonical = () => {
    for (;;) {
      const value = draw();
      if (value < P) return value;
    }
  };
  const row = (one) => Array.from({ length: width }, one);
  const rounds = Array.from({ length: FULL_ROUNDS + partial }, () => row(canonical));
  // Cauchy matrix: here the generator reduces, it does not reject; its first try is good for all our widths.
  const [xs, ys] = [row(() => draw() % P), row(() => draw() % P)];
  return { rounds, matrix: xs.map((x) => ys.map((y) => inverse((x + y) % P))) };
}

// Bits of the self-shrinking Grain LFSR, seeded with the parameters of the permutation.
function grain(width, partial) {
  const seed = [[1, 2], [0, 4], [FIELD_BITS, 12], [width, 12], [FULL_ROUNDS, 10], [partial, 10], [2 ** 30 - 1, 30]];
  const register = [...seed.map(([value, size]) => value.toString(2).padStart(size, "0")).join("")].map(Number);
  let at = 0; // where the oldest bit is
  const tap = (offset) => register[(at + offset) % register.length];
  const step = () => {
    const bit = tap(0) ^ tap(13) ^ tap(23) ^ tap(38) ^ tap(51) ^ tap(62);
    register[at] = bit;
    at = (at + 1) % register.length;
    return bit;
  };
  for (let i = 0; i < 160; i++) step();
  return () => {
    for (;;) {
      const keep = step();
      const bit = step();
      if (keep) return bit;
    }
  };
}
