// Calls of contracts as bytes, as far as words of 32 bytes go: what these pages need of the contract ABI.

import { keccak256 } from "./keccak.js";

const WORD = 64; // hex digits
const PAIRS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** @returns {string} the hash of an event's signature, its first topic */
export function topic(signature) {
  return hex(keccak256(new TextEncoder().encode(signature)));
}

/** @returns {string} the first four bytes of a call, or of a custom error */
export function selector(signature) {
  return topic(signature).slice(0, 10);
}

/** @returns {string} calldata of a call whose arguments are all one word: addresses, numbers, 32 bytes */
export function callData(signature, values = []) {
  return selector(signature) + values.map((value) => word(value).slice(2)).join("");
}

/** @returns {string} a number, or an address or 32 bytes as hex digits, as a word */
export function word(value) {
  return "0x" + BigInt(value).toString(16).padStart(WORD, "0");
}

/** @returns {bigint[]} the words of an answer */
export function words(data) {
  if (typeof data !== "string" || !/^0x([0-9a-fA-F]{64})*$/.test(data)) {
    throw new RangeError("the node's answer is not made of words of 32 bytes");
  }
  return (data.slice(2).match(/.{64}/g) ?? []).map((digits) => BigInt("0x" + digits));
}

/** @returns {string} bytes as hex digits */
export function hex(data) {
  let digits = "0x";
  for (const byte of data) digits += PAIRS[byte];
  return digits;
}

/** @returns {Uint8Array} hex digits as bytes */
export function unhex(text) {
  const data = new Uint8Array((text.length - 2) / 2);
  for (let i = 0; i < data.length; i++) data[i] = parseInt(text.slice(2 * i + 2, 2 * i + 4), 16);
  return data;
}
