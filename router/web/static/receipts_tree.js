// The Merkle-sum tree of a batch's receipts, rebuilt from a partner's proof bundle: the partner's own receipts and the
// subtrees between them, from left to right. docs/protocol.md says what is hashed and how a bundle is written.

import { hex, unhex } from "./abi.js";
import { keccak256 } from "./keccak.js";

const DIGEST = /^0x[0-9a-f]{64}$/;
const AMOUNT = /^(0|[1-9][0-9]{0,19})$/;
const MAX_CHARGE = 2n ** 54n - 1n;
const MAX_SUM = 2n ** 64n - 1n;
const MAX_LEVEL = 40;

/** Something that came over the network is not of the form that it has to have; the message says what. */
export class Malformed extends Error {}

/** A tree that is given its leaves and subtrees one by one and keeps one node per level, however many there are. */
export class ReceiptsTree {
  #kept = []; // whole subtrees so far, no two of one level, highest first

  /**
   * Appends the next receipt.
   * @param {string} digest "0x" and 64 digits
   * @param {bigint} charge base units
   */
  addLeaf(digest, charge) {
    const data = new Uint8Array(65);
    data.set(unhex(digest), 1);
    setAmount(data, 33, charge);
    this.addSubtree(0, keccak256(data), charge);
  }

  /**
   * Appends the next 2^level receipts by the top of their subtree.
   * @param {number} level
   * @param {Uint8Array} hash 32 bytes
   * @param {bigint} sum of their charges, base units
   */
  addSubtree(level, hash, sum) {
    if (this.#kept.length && this.#kept.at(-1).level < level) {
      throw new Malformed(`a subtree of level ${level} does not begin here`);
    }
    let top = { level, hash, sum };
    while (this.#kept.at(-1)?.level === top.level) top = parent(this.#kept.pop(), top);
    this.#kept.push(top);
  }

  /** @returns {{root: string, total: bigint}} of the tree so far; a root of zeros and 0 without receipts */
  close() {
    const kept = [...this.#kept];
    while (kept.length > 1) {
      let right = kept.pop();
      while (right.level < kept.at(-1).level) right = parent(right, padding(right.level));
      kept.push(parent(kept.pop(), right));
    }
    const { hash, sum } = kept[0] ?? padding(0);
    return { root: hex(hash), total: sum };
  }
}

/**
 * Reads a proof bundle to its end.
 * @param {AsyncIterable<string>} lines
 * @returns {Promise<{head: object, root: string, total: bigint, receipts: number, gross: bigint}>} what the first line
 *   says; root and total of the whole tree; how many receipts the partner has in it and what they come to, base units
 */
export async function readBundle(lines) {
  const tree = new ReceiptsTree();
  let head = null;
  let number = 0;
  let receipts = 0;
  let gross = 0n;
  for await (const line of lines) {
    number += 1;
    const piece = parsed(line, number);
    if (head === null) {
      head = piece;
    } else if (Array.isArray(piece) && piece.length === 2) {
      const charge = amount(piece[1], MAX_CHARGE, number);
      tree.addLeaf(digest(piece[0], number), charge);
      receipts += 1;
      gross += charge;
    } else if (Array.isArray(piece) && piece.length === 3) {
      const level = Number.isInteger(piece[0]) && piece[0] >= 0 && piece[0] <= MAX_LEVEL ? piece[0] : null;
      if (level === null) throw new Malformed(`line ${number} of the bundle has no level`);
      tree.addSubtree(level, unhex(digest(piece[1], number)), amount(piece[2], MAX_SUM, number));
    } else {
      throw new Malformed(`line ${number} of the bundle is neither a receipt nor a subtree`);
    }
  }
  if (head === null) throw new Malformed("the bundle is empty");
  return { head, receipts, gross, ...tree.close() };
}

function parent(left, right) {
  const sum = left.sum + right.sum;
  if (sum > MAX_SUM) throw new Malformed(`a sum of ${sum} is more than a batch can settle`);
  const data = new Uint8Array(129);
  data[0] = 1;
  data.set(left.hash, 1);
  setAmount(data, 33, left.sum);
  data.set(right.hash, 65);
  setAmount(data, 97, right.sum);
  return { level: left.level + 1, hash: keccak256(data), sum };
}

// An odd last node is paired with this.
function padding(level) {
  return { level, hash: new Uint8Array(32), sum: 0n };
}

function setAmount(data, at, value) {
  new DataView(data.buffer).setBigUint64(at + 24, value);
}

function parsed(line, number) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Malformed(`line ${number} of the bundle is no JSON`);
  }
}

function digest(value, number) {
  if (typeof value !== "string" || !DIGEST.test(value)) throw new Malformed(`line ${number} of the bundle has no hash`);
  return value;
}

function amount(value, most, number) {
  const read = typeof value === "string" && AMOUNT.test(value) ? BigInt(value) : null;
  if (read === null || read > most) throw new Malformed(`line ${number} of the bundle has no amount`);
  return read;
}
