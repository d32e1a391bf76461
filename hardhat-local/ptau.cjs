// A phase-1 file for the tests of the ceremony: powers of tau on BN254 up to 2^POWER, prepared for phase 2.
//
//     node hardhat-local/ptau.cjs POWER OUT
//
// Whoever makes it knows tau, so its points are multiples of the generators by known numbers. `snarkjs powersoftau
// prepare phase2` has to do without: it transforms points, which takes minutes where this takes seconds. Nobody's
// money may ever depend on such a file.
//
// Source: snarkjs, src/powersoftau_new.js (the format) and src/powersoftau_preparephase2.js (sections 12 to 15).
"use strict";
const crypto = require("node:crypto");
const fs = require("node:fs");
const { buildBn128 } = require(require.resolve("ffjavascript", { paths: [require.resolve("snarkjs")] })); // its own

const [power, out] = [Number(process.argv[2]), process.argv[3]];

function uint32(...values) {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32LE(value, 4 * i));
  return bytes;
}

/** A section of the file: its number, its length as 64 bits, its content. */
function section(number, ...parts) {
  const content = Buffer.concat(parts);
  return Buffer.concat([uint32(number, content.length, 0), content]);
}

/** Makes multiples of a group's generator, as the file has them: affine, little-endian, Montgomery. */
function multiplier(Fr, group) {
  // table[i][byte] is byte * 256^i * generator: a multiple is a sum of 32 of them, a tenth of the work of doubling.
  const table = [];
  for (let base = group.g; table.length < Fr.n8; base = group.add(table.at(-1)[255], base)) {
    const row = [group.zero];
    while (row.length < 256) row.push(group.toAffine(group.add(row.at(-1), base)));
    table.push(row);
  }
  return (factors) => {
    const [bytes, digits] = [new Uint8Array(2 * group.F.n8 * factors.length), new Uint8Array(Fr.n8)];
    factors.forEach((factor, i) => {
      Fr.toRprLE(digits, 0, factor);
      const point = table.reduce((sum, row, j) => group.add(sum, row[digits[j]]), group.zero);
      group.toRprLEM(bytes, 2 * group.F.n8 * i, point);
    });
    return bytes;
  };
}

/** What the Lagrange polynomials of 2^bits points are at `at`, without the terms of degree `terms` and above. */
function lagrange(Fr, bits, at, terms) {
  const size = Fr.e(2 ** bits);
  const last = Fr.exp(at, 2 ** bits - 1);
  const vanishing = Fr.sub(Fr.mul(last, at), Fr.one);
  let root = Fr.one;
  return Array.from({ length: 2 ** bits }, () => {
    let value = Fr.div(Fr.mul(vanishing, root), Fr.mul(size, Fr.sub(at, root)));
    if (terms < 2 ** bits) value = Fr.sub(value, Fr.div(Fr.mul(root, last), size));
    root = Fr.mul(root, Fr.w[bits]);
    return value;
  });
}

async function main() {
  const curve = await buildBn128(true);
  const { Fr } = curve;
  const [G1, G2] = [multiplier(Fr, curve.G1), multiplier(Fr, curve.G2)];
  const [tau, alpha, beta] = [0, 1, 2].map(() => Fr.fromRng({ nextU64: () => crypto.randomBytes(8).readBigUInt64LE() }));
  const size = 2 ** power;
  const powers = [Fr.one];
  while (powers.length < 2 * size - 1) powers.push(Fr.mul(powers.at(-1), tau));
  const times = (factor, values) => values.map((value) => Fr.mul(factor, value));
  const first = powers.slice(0, size);
  const bases = Array.from({ length: power + 1 }, (_, bits) => lagrange(Fr, bits, tau, size)).flat();
  const top = lagrange(Fr, power + 1, tau, 2 * size - 1);
  const prime = new Uint8Array(curve.F1.n8);
  Buffer.from(curve.q.toString(16).padStart(2 * prime.length, "0"), "hex").reverse().copy(prime);
  fs.writeFileSync(
    out,
    Buffer.concat([
      Buffer.from("ptau"),
      uint32(1, 11),
      section(1, uint32(prime.length), prime, uint32(power, power)),
      section(2, G1(powers)),
      section(3, G2(first)),
      section(4, G1(times(alpha, first))),
      section(5, G1(times(beta, first))),
      section(6, G2([beta])),
      section(7, uint32(0)),
      section(12, G1([...bases, ...top])),
      section(13, G2(bases)),
      section(14, G1(times(alpha, bases))),
      section(15, G1(times(beta, bases))),
    ]),
  );
  await curve.terminate();
}

main();
