// Powers of tau whose tau everyone knows, in the parts that `snarkjs groth16 setup` reads: keys made from them have
// the right shape and size, so that snarkjs can be timed, and prove nothing. A real phase 1 takes half an hour here.
//
//     node known_tau.cjs POWER FILE
//
// Source: snarkjs, src/zkey_new.js (what is read) and src/powersoftau_utils.js (the header).
"use strict";
const fs = require("fs");
const { getCurveFromName, Scalar } = require("ffjavascript");

const TAU = 1234567891n, ALPHA = 987654321n, BETA = 192837465n;
const BYTES = 32; // of a scalar
const WINDOW = 256; // values of a byte

// scalar => scalar * generator, by a table of byte * 256^w * generator for each byte w.
function fixedBase(group, Fr) {
    const table = [];
    let base = group.g;
    for (let w = 0; w < BYTES; w++) {
        const row = [group.zero];
        for (let b = 1; b <= WINDOW; b++) row.push(group.toAffine(group.add(row[b - 1], base)));
        base = row.pop();
        table.push(row);
    }
    const bytes = new Uint8Array(BYTES);
    return (scalar) => {
        Fr.toRprLE(bytes, 0, scalar);
        let sum = group.zero;
        for (let w = 0; w < BYTES; w++) if (bytes[w] !== 0) sum = group.add(sum, table[w][bytes[w]]);
        return sum;
    };
}

// The Lagrange polynomials of the domain of size 2^power, at tau.
async function lagrange(Fr, power) {
    const n = 2 ** power, tau = Fr.e(TAU), root = Fr.w[power];
    const roots = [Fr.one];
    for (let i = 1; i < n; i++) roots.push(Fr.mul(roots[i - 1], root));
    const inverses = await Fr.batchInverse(roots.map((value) => Fr.mul(Fr.e(n), Fr.sub(tau, value))));
    const vanishing = Fr.sub(Fr.exp(tau, n), Fr.one);
    return roots.map((value, i) => Fr.mul(Fr.mul(value, vanishing), inverses[i]));
}

// Points of one domain, at their place behind those of all smaller ones (which nobody reads).
function points(file, sectionAt, group, size, multiply, scalars) {
    const bytes = Buffer.alloc(scalars.length * size);
    scalars.forEach((scalar, i) => group.toRprLEM(bytes, i * size, group.toAffine(multiply(scalar))));
    fs.writeSync(file, bytes, 0, bytes.length, sectionAt + (scalars.length - 1) * size);
}

async function main(power, path) {
    const curve = await getCurveFromName("bn128");
    const { G1, G2, Fr } = curve;
    const [size1, size2] = [G1.F.n8 * 2, G2.F.n8 * 2];
    const [inG1, inG2] = [fixedBase(G1, Fr), fixedBase(G2, Fr)];
    const own = await lagrange(Fr, power), double = await lagrange(Fr, power + 1);
    const times = (factor) => own.map((scalar) => Fr.mul(scalar, Fr.e(factor)));

    const header = Buffer.alloc(4 + BYTES + 8);
    header.writeUInt32LE(BYTES, 0);
    Scalar.toRprLE(header, 4, curve.q, BYTES);
    header.writeUInt32LE(power, 4 + BYTES);
    header.writeUInt32LE(power, 8 + BYTES);
    // Section 2, the powers themselves, is only hashed: it stays zero.
    const upTo = (domain, size) => (2 ** (domain + 1) - 1) * size;
    const sizes = { 1: header.length, 2: upTo(power, size1), 4: size1, 5: size1, 6: size2, 12: upTo(power + 1, size1),
        13: upTo(power, size2), 14: upTo(power, size1), 15: upTo(power, size1) };

    const file = fs.openSync(path, "w");
    const start = Buffer.alloc(12);
    start.write("ptau");
    start.writeUInt32LE(1, 4);
    start.writeUInt32LE(Object.keys(sizes).length, 8);
    fs.writeSync(file, start);
    const at = {};
    let position = start.length;
    for (const [section, size] of Object.entries(sizes)) {
        const head = Buffer.alloc(12);
        head.writeUInt32LE(Number(section), 0);
        head.writeBigUInt64LE(BigInt(size), 4);
        fs.writeSync(file, head, 0, 12, position);
        at[section] = position + 12;
        position += 12 + size;
    }
    fs.writeSync(file, header, 0, header.length, at[1]);
    points(file, at[4], G1, size1, inG1, [Fr.e(ALPHA)]);
    points(file, at[5], G1, size1, inG1, [Fr.e(BETA)]);
    points(file, at[6], G2, size2, inG2, [Fr.e(BETA)]);
    points(file, at[12], G1, size1, inG1, own);
    points(file, at[12], G1, size1, inG1, double);
    points(file, at[13], G2, size2, inG2, own);
    points(file, at[14], G1, size1, inG1, times(ALPHA));
    points(file, at[15], G1, size1, inG1, times(BETA));
    fs.ftruncateSync(file, position);
    fs.closeSync(file);
    await curve.terminate();
}

main(Number(process.argv[2]), process.argv[3]);
