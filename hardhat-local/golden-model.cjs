// The protocol of docs/protocol.md over circomlibjs and js-sha3, written a second time on purpose: golden.cjs makes
// test vectors with it, so it shares no code with what the vectors test.
"use strict";

const { buildBabyjub, buildEddsa, buildPoseidonReference } = require("circomlibjs");
const { keccak256 } = require("js-sha3");

const P = 21888242871839275222246405745257275088548364400416034343698204186575808495617n;
const ARITY = 8n;
const LEVELS = 8;
const REGION_LEVELS = 4;
const MAX_AMOUNT = 2n ** 54n - 1n;
const MAX_BALANCE = 2n ** 64n - 1n;
const MAX_IDX = 2n ** 24n - 1n;

// ---- the outside implementation, on BigInts

const lib = {}; // poseidon, babyJub, eddsa, F: filled by load()

async function load() {
  const [reference, babyJub, eddsa] = await Promise.all([buildPoseidonReference(), buildBabyjub(), buildEddsa()]);
  const hash = (inputs) => BigInt(reference.F.toObject(reference(inputs.map((x) => reference.F.e(x)))));
  const known = new Map(); // the recursions below hash the same subtrees again and again
  const poseidon = (inputs) => {
    const key = inputs.join();
    if (!known.has(key)) known.set(key, hash(inputs));
    return known.get(key);
  };
  Object.assign(lib, { poseidon, babyJub, eddsa, F: babyJub.F });
}

const toPoint = ([x, y]) => [lib.F.e(x), lib.F.e(y)];
const fromPoint = ([x, y]) => [lib.F.toObject(x), lib.F.toObject(y)];
const mul = (point, scalar) => fromPoint(lib.babyJub.mulPointEscalar(toPoint(point), scalar));
const add = (left, right) => fromPoint(lib.babyJub.addPoint(toPoint(left), toPoint(right)));
const base8 = () => fromPoint(lib.babyJub.Base8);

function verifies(key, message, r8, s) {
  return lib.eddsa.verifyPoseidon(lib.F.e(message), { R8: toPoint(r8), S: s }, toPoint(key));
}

const word = (value) => Buffer.from(value.toString(16).padStart(64, "0"), "hex");
const bytes = (hex) => Buffer.from(hex.replace(/^0x/, ""), "hex");
const keccak = (...parts) => bytes(keccak256(Buffer.concat(parts)));
const number = (buffer) => BigInt("0x" + buffer.toString("hex"));
const hex = (buffer) => "0x" + buffer.toString("hex");
// Arbitrary but fixed numbers.
const draw = (label, modulus) => number(keccak(Buffer.from(label))) % modulus;

// ---- session keys and ceilings, as docs/protocol.md defines them

const expand = (seed) => number(Buffer.concat([keccak(Buffer.from([0]), seed), keccak(Buffer.from([1]), seed)]));

function sign(secret, message) {
  const order = lib.babyJub.subOrder;
  const key = mul(base8(), secret);
  const nonce = expand(Buffer.concat([Buffer.from("VIBES EdDSA-Poseidon nonce"), word(secret), word(message)])) % order;
  const r8 = mul(base8(), nonce);
  const s = (nonce + 8n * secret * lib.poseidon([...r8, ...key, message])) % order;
  if (!verifies(key, message, r8, s)) throw new Error("circomlibjs refuses a signature made by the protocol's rule");
  return { secret, message, key, r8, s };
}

const domainOf = (chainId, settlement) => number(keccak(word(chainId), word(BigInt(settlement)))) % P;

function signCeiling(secret, domain, idx, ceilingBase) {
  return { domain, idx, ceiling_base: ceilingBase, ...sign(secret, lib.poseidon([domain, idx, ceilingBase])) };
}

// ---- tree, slots and batches

// Root by plain recursion over the set leaves, so that it shares no shape with an incremental tree.
function rootOf(leaves, level, position) {
  if (level === 0) return leaves.get(position) ?? 0n;
  const width = ARITY ** BigInt(level);
  const first = position * width;
  const inside = new Map([...leaves].filter(([idx]) => idx >= first && idx < first + width));
  if (inside.size === 0) return emptyNode(level);
  return lib.poseidon(children(inside, level, position));
}

function children(leaves, level, position) {
  return Array.from({ length: Number(ARITY) }, (_, i) => rootOf(leaves, level - 1, position * ARITY + BigInt(i)));
}

function emptyNode(level) {
  return level === 0 ? 0n : lib.poseidon(Array(Number(ARITY)).fill(emptyNode(level - 1)));
}

const leafOf = (a) => lib.poseidon([a.key_commit, a.balance, a.spent]);
const treeRoot = (accounts) =>
  rootOf(new Map([...accounts].map(([idx, a]) => [idx, leafOf(a)])), LEVELS, 0n);

function encodeSlot(slot) {
  const widths = [["idx", 24n], ["charge", 54n], ["reward", 54n], ["deposit", 54n], ["withdraw", 54n], ["drain", 1n]];
  let w0 = 0n;
  for (const [field, width] of widths.reverse()) w0 = (w0 << width) | BigInt(slot[field]);
  return { w0, w1: slot.key_commit };
}

const slotOf = (fields) => ({
  idx: 0n, charge: 0n, reward: 0n, deposit: 0n, withdraw: 0n, drain: false, key_commit: 0n, ...fields,
});

function commit(words) {
  const padded = (list) => lib.poseidon([...list, ...Array(12 - list.length).fill(0n)]);
  let commitment = padded(words.slice(0, 12));
  for (let i = 12; i < words.length; i += 11) commitment = padded([commitment, ...words.slice(i, i + 11)]);
  return commitment;
}

// Public inputs of a batch; the head of abi.encode(uint256, uint256[], uint256) holds the array's offset, 96.
function bind(batchNumber, words) {
  const commitment = commit(words);
  const encoded = [batchNumber, 96n, commitment, BigInt(words.length), ...words];
  const r = number(keccak(...encoded.map(word))) % P;
  let power = 1n;
  let y = 0n;
  for (const value of words) {
    y = (y + value * power) % P;
    power = (power * r) % P;
  }
  return { commitment, r, y };
}

// A region's path to the root: its top and, from there upwards, the children of each node above.
function upperPath(accounts, region) {
  const leaves = new Map([...accounts].map(([idx, a]) => [idx, leafOf(a)]));
  const above = Array.from({ length: LEVELS - REGION_LEVELS }, (_, i) =>
    children(leaves, REGION_LEVELS + 1 + i, region / ARITY ** BigInt(i + 1)));
  return { top: rootOf(leaves, REGION_LEVELS, region), above };
}

// Applies valid slots and returns the vector; the rules themselves are not checked here.
function batch(number, n, domain, accounts, slots, ceilings) {
  const oldRoot = treeRoot(accounts);
  const regionOf = (slot) => slot.idx / ARITY ** BigInt(REGION_LEVELS);
  const units = [];
  slots.forEach((slot, i) => {
    if (i === 0 || regionOf(slots[i - 1]) !== regionOf(slot)) {
      const { top, above } = upperPath(accounts, regionOf(slot));
      units.push({ region: regionOf(slot), old_top: top, children: above });
    }
    const { key_commit: key, balance, spent } = accounts.get(slot.idx) ?? { key_commit: 0n, balance: 0n, spent: 0n };
    accounts.set(slot.idx, {
      key_commit: slot.key_commit || key,
      balance: balance + slot.deposit + slot.reward - slot.charge - slot.withdraw,
      spent: spent + slot.charge,
    });
    units.at(-1).new_top = upperPath(accounts, regionOf(slot)).top;
  });
  const newRoot = treeRoot(accounts);
  const words = [domain, oldRoot, newRoot, ...slots.flatMap((slot) => Object.values(encodeSlot(slot)))];
  while (words.length < 3 + 2 * n) words.push(0n);
  const after = [...accounts].map(([idx, state]) => ({ idx, ...state }));
  return {
    batch_number: number, size: BigInt(n), slots, ceilings, old_root: oldRoot, new_root: newRoot, words,
    ...bind(number, words), units, accounts: after,
  };
}

// ---- Merkle-sum tree of receipts

const PADDING = { hash: Buffer.alloc(32), sum: 0n };

function parent(left, right) {
  const hash = keccak(Buffer.from([1]), left.hash, word(left.sum), right.hash, word(right.sum));
  return { hash, sum: left.sum + right.sum };
}

function receiptsVector(count) {
  const leaves = Array.from({ length: count }, (_, i) => ({
    digest: hex(keccak(Buffer.from(`receipt ${i}`))), charge_base: draw(`charge ${i}`, 10n ** 9n),
  }));
  let level = leaves.map((leaf) => ({
    hash: keccak(Buffer.from([0]), bytes(leaf.digest), word(leaf.charge_base)), sum: leaf.charge_base,
  }));
  const proofs = leaves.map((_, index) => ({ index: BigInt(index), siblings: [] }));
  for (let depth = 0; level.length > 1; depth++) {
    if (level.length % 2) level.push(PADDING);
    for (const proof of proofs) {
      const sibling = level[(Number(proof.index) >> depth) ^ 1];
      proof.siblings.push([hex(sibling.hash), sibling.sum]);
    }
    level = Array.from({ length: level.length / 2 }, (_, i) => parent(level[2 * i], level[2 * i + 1]));
  }
  const { hash, sum } = level[0] ?? PADDING;
  return { leaves, root: hex(hash), total: sum, proofs };
}

module.exports = {
  P, ARITY, LEVELS, MAX_AMOUNT, MAX_BALANCE, MAX_IDX, lib, load, base8, mul, add, fromPoint, draw, word,
  keccak, hex, expand, sign, domainOf, signCeiling, emptyNode, children, leafOf, treeRoot, encodeSlot, slotOf,
  bind, batch, receiptsVector,
};
