// The session key of a wallet: made anew from one signature each time it is needed, never stored, never sent. It signs
// ceilings, up to which the account may have spent in all.
// Source: docs/protocol.md (authorisation), EIP-712; mini_llm/wallet/ceiling.py is the same in Python.

import { SUBORDER, bytes, expand, join, number, publicKey, sign } from "./babyjub.js";
import { keccak256 } from "./keccak.js";
import { P, poseidon } from "./poseidon.js";

const SECRET_TAG = new TextEncoder().encode("VIBES session key");
const STATEMENT =
  "Make the VIBES session key of this wallet. " +
  "Whoever has the key can spend your VIBES balance on AI calls. " +
  "Sign only on a site you trust.";
const MAX_CEILING_BASE = 2n ** 64n - 1n;
const MAX_IDX = 2 ** 24 - 1;

/**
 * EIP-712 message whose signature by the wallet gives session key number `index`.
 * @param {number} chainId
 * @param {string} settlement address of the contract
 */
export function typedData(chainId, settlement, index = 0) {
  return {
    types: {
      EIP712Domain: [
        { name: "name", type: "string" },
        { name: "version", type: "string" },
        { name: "chainId", type: "uint256" },
        { name: "verifyingContract", type: "address" },
      ],
      SessionKey: [
        { name: "statement", type: "string" },
        { name: "index", type: "uint256" },
      ],
    },
    primaryType: "SessionKey",
    domain: { name: "VIBES Session Key", version: "1", chainId, verifyingContract: settlement },
    message: { statement: STATEMENT, index },
  };
}

/**
 * Session secret from the wallet's signature over `typedData`. Only r and s count: wallets write v in two ways.
 * @param {string} signature "0x" and 65 bytes; a contract wallet's has another length and makes no key
 * @returns {bigint} in [1, SUBORDER)
 */
export function secretOf(signature) {
  if (!/^0x[0-9a-fA-F]{130}$/.test(signature)) {
    throw new RangeError("a session key is made from a signature of 65 bytes, as wallets with a key of their own give");
  }
  const digits = signature.slice(2, 2 + 128);
  const rs = Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));
  return 1n + (expand([SECRET_TAG, rs]) % (SUBORDER - 1n));
}

/**
 * How contract and tree know a session key: Poseidon of its public key.
 * @param {bigint} secret
 */
export function commitment(secret) {
  return poseidon(publicKey(secret));
}

/**
 * What binds a ceiling to one contract on one chain: keccak256(abi.encode(chainId, settlement)) mod P.
 * @param {number} chainId
 * @param {string} settlement address of the contract
 */
export function settlementDomain(chainId, settlement) {
  return number(keccak256(join([bytes(BigInt(chainId)), bytes(BigInt(settlement))]))) % P;
}

/**
 * Allows account `idx` to have spent up to `ceiling` base units in total; as POST /v1/account/ceiling takes it.
 * @param {bigint} secret
 * @param {bigint} domain of `settlementDomain`
 * @param {number} idx 1 to 2^24 - 1
 * @param {bigint} ceiling below 2^64
 */
export function signCeiling(secret, domain, idx, ceiling) {
  if (!Number.isInteger(idx) || idx < 1 || idx > MAX_IDX || ceiling < 0n || ceiling > MAX_CEILING_BASE) {
    throw new RangeError("account or ceiling is out of range");
  }
  const { key, r8, s } = sign(secret, poseidon([domain, BigInt(idx), ceiling]));
  return { idx: `${idx}`, ceiling_base: `${ceiling}`, key: key.map(String), r8: r8.map(String), s: `${s}` };
}
