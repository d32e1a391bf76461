// keccak-256 as Ethereum uses it (SHA-3 before NIST changed its padding). A lane of 64 bits is two numbers of 32:
// BigInt would be some fifty times slower, and a batch has up to hundreds of thousands of nodes.
// Source: https://keccak.team/files/Keccak-reference-3.0.pdf

const RATE = 136; // bytes that a block takes in
const LANES = 25;
const ROUNDS = 24;

// Lane (x, y) is at 2x + 10y, its low half first. Rho and pi take lane i from NEAR[i] and turn it left by TURN[i] < 32;
// a turn by 32 and more begins with the other half.
const NEAR = new Uint8Array(LANES);
const TURN = new Uint8Array(LANES);
for (let step = 1, x = 1, y = 0; step < LANES; step++) {
  const turn = ((step * (step + 1)) / 2) % 64;
  const from = 2 * x + 10 * y;
  [x, y] = [y, (2 * x + 3 * y) % 5];
  NEAR[x + 5 * y] = turn < 32 ? from : from + 1;
  TURN[x + 5 * y] = turn % 32;
}

// Bit 2^j - 1 of a round's constant is the output of an LFSR over x^8 + x^6 + x^5 + x^4 + 1. Low half first.
const IOTA = new Uint32Array(2 * ROUNDS);
for (let round = 0, register = 1; round < ROUNDS; round++) {
  for (let j = 0; j < 7; j++) {
    const bit = 2 ** j - 1;
    if (register & 1) IOTA[2 * round + (bit < 32 ? 0 : 1)] |= 1 << bit % 32;
    register = register & 0x80 ? ((register << 1) ^ 0x71) & 0xff : register << 1;
  }
}

/**
 * Hash of some bytes.
 * @param {Uint8Array} data
 * @returns {Uint8Array} 32 bytes
 */
export function keccak256(data) {
  const padded = new Uint8Array((Math.floor(data.length / RATE) + 1) * RATE);
  padded.set(data);
  padded[data.length] ^= 0x01;
  padded[padded.length - 1] ^= 0x80;
  const words = new DataView(padded.buffer);
  const state = new Uint32Array(2 * LANES); // low and high half of each lane
  for (let at = 0; at < padded.length; at += RATE) {
    for (let i = 0; i < RATE / 4; i++) state[i] ^= words.getUint32(at + 4 * i, true);
    permute(state);
  }
  const hash = new DataView(new ArrayBuffer(32));
  for (let i = 0; i < 8; i++) hash.setUint32(4 * i, state[i], true);
  return new Uint8Array(hash.buffer);
}

const parity = new Uint32Array(10);
const moved = new Uint32Array(2 * LANES);

function permute(state) {
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < 10; i++) {
      parity[i] = state[i] ^ state[i + 10] ^ state[i + 20] ^ state[i + 30] ^ state[i + 40];
    }
    for (let x = 0; x < 10; x += 2) {
      const left = (x + 8) % 10;
      const right = (x + 2) % 10;
      const low = parity[left] ^ ((parity[right] << 1) | (parity[right + 1] >>> 31));
      const high = parity[left + 1] ^ ((parity[right + 1] << 1) | (parity[right] >>> 31));
      for (let i = x; i < 2 * LANES; i += 10) {
        state[i] ^= low;
        state[i + 1] ^= high;
      }
    }
    for (let lane = 0; lane < LANES; lane++) {
      const near = state[NEAR[lane]];
      const far = state[NEAR[lane] ^ 1];
      const turn = TURN[lane];
      moved[2 * lane] = turn ? (near << turn) | (far >>> (32 - turn)) : near;
      moved[2 * lane + 1] = turn ? (far << turn) | (near >>> (32 - turn)) : far;
    }
    for (let row = 0; row < 2 * LANES; row += 10) {
      for (let i = 0; i < 10; i++) {
        const next = i < 8 ? i + 2 : i - 8;
        const after = i < 6 ? i + 4 : i - 6;
        state[row + i] = moved[row + i] ^ (~moved[row + next] & moved[row + after]);
      }
    }
    state[0] ^= IOTA[2 * round];
    state[1] ^= IOTA[2 * round + 1];
  }
}
