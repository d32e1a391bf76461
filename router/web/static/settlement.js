// The settlement contract as a browser reads it: calls, logs and the calldata of batches, through any JSON-RPC node.
// docs/protocol.md says what the words mean.

import { callData, selector, topic, word } from "./abi.js";
import { Malformed } from "./receipts_tree.js";

const WORD = 64; // hex digits
const MOST_REQUESTS = 400; // for the logs of a node that gives them in short ranges of blocks only
const SLOT_CHARGE_SHIFT = 24n;
const AMOUNT_MASK = 2n ** 54n - 1n;
const GROSS_MASK = 2n ** 64n - 1n;
const HEADER_WORDS = 5;
const HEAD_WORDS = HEADER_WORDS + 2 + 8; // header, where the two arrays are, proof

const BATCH_SETTLED = topic("BatchSettled(uint256,uint256,uint256,uint256,bytes32,uint256,uint256,uint256)");
const TERMS_APPLIED = topic("PartnerTermsApplied(uint256,uint256,uint256,uint256)");
const CLAIMED = topic("PartnerClaimed(uint256,address,uint256)");
const SETTLE_BATCH = selector(
  "settleBatch((uint256,uint256,uint256,bytes32,uint256),uint256[],uint256[],uint256[8])",
);

/** The node did not answer, or refused; the message is for a person. */
export class Unreadable extends Error {}

/**
 * Asks a node over HTTP.
 * @param {string} url
 * @returns {function(string, Array): Promise<*>}
 */
export function httpNode(url) {
  return async (method, params) => {
    let told;
    try {
      const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
      const headers = { "content-type": "application/json" };
      const options = { method: "POST", headers, body, credentials: "omit", cache: "no-store", redirect: "error" };
      told = await (await fetch(url, options)).json();
    } catch {
      throw new Unreadable(
        `The node at ${new URL(url).origin} cannot be reached from this page: check the address, that it runs, and ` +
          "that it answers pages of other sites (CORS).",
      );
    }
    if (told?.error || told?.result === undefined) {
      throw new Unreadable(`The node refused ${method}: ${told?.error?.message ?? "no result"}`);
    }
    return told.result;
  };
}

/**
 * Asks the node behind a wallet.
 * @param {{request: function({method: string, params: Array}): Promise<*>}} provider EIP-1193
 */
export function walletNode(provider) {
  return async (method, params) => {
    try {
      return await provider.request({ method, params });
    } catch (error) {
      throw new Unreadable(`The node behind your wallet refused ${method}: ${error?.message ?? error}`, { cause: error });
    }
  };
}

/** One settlement contract, read through one node. Amounts are BigInt, in base units. */
export class Settlement {
  /**
   * @param {function(string, Array): Promise<*>} ask a node
   * @param {string} address of the contract
   */
  constructor(ask, address) {
    this.ask = ask;
    this.address = address.toLowerCase();
  }

  /** @returns {Promise<number>} */
  async chainId() {
    return Number(await this.ask("eth_chainId", []));
  }

  /**
   * A batch as a transaction settled it. It is looked for where it is said to be, because full nodes forget after a
   * while where a transaction is.
   * @param {{batch: number, transaction: string, block: number}} told
   * @returns {Promise<?{settled: object, header: object, charges: bigint, partners: Map<number, bigint>}>} the event
   *   and the decoded calldata, null if there is none such
   */
  async batch({ batch, transaction, block }) {
    const topics = [BATCH_SETTLED, word(batch)];
    const logs = await this.#logs({ address: this.address, topics }, block, block);
    const log = logs.find(
      (one) => same(one.address, this.address) && topics.every((topic, i) => same(one.topics[i], topic)),
    );
    if (!log || !same(log.transactionHash, transaction)) return null;
    const place = [log.blockHash, log.transactionIndex];
    const sent = await this.ask("eth_getTransactionByBlockHashAndIndex", place);
    if (!sent || !same(sent.hash, transaction) || !same(sent.to, this.address)) return null;
    if (!sent.input?.startsWith(SETTLE_BATCH)) return null;
    const [slots, oldRoot, newRoot, receiptsRoot, gross] = words(log.data);
    return { ...settleBatch(sent.input), settled: { slots, oldRoot, newRoot, receiptsRoot, gross } };
  }

  /** @returns {Promise<{gross: bigint, checkpointGross: bigint, accrued: bigint, paid: bigint, bps: bigint}>} */
  async partnerAccount(id, block) {
    const [gross, checkpointGross, accrued, paid, bps] = await this.#view("partnerAccount(uint256)", [id], block, 5);
    return { gross, checkpointGross, accrued, paid, bps };
  }

  /** @returns {Promise<bigint>} what `claimPartner` would pay */
  async claimable(id, block) {
    return (await this.#view("partnerClaimable(uint256)", [id], block, 1))[0];
  }

  /** @returns {Promise<{payout: string, bps: bigint}>} the partner's terms in the registry */
  async terms(id, block) {
    const [registry] = await this.#view("registry()", [], block, 1);
    const [payout, bps] = await this.#view("terms(uint256)", [id], block, 2, addressOf(registry));
    return { payout: addressOf(payout), bps };
  }

  /**
   * What happened to a partner's share, in chain order: `terms` that were applied, and `claim`s that were paid.
   * @param {number} id
   * @param {number} upto last block
   */
  async partnerLogs(id, upto) {
    const filter = { address: this.address, topics: [[TERMS_APPLIED, CLAIMED], word(id)] };
    const logs = await this.#logs(filter, 0, upto);
    return logs.map((log) => {
      const at = { block: Number(log.blockNumber), index: Number(log.logIndex) };
      const data = words(log.data);
      if (same(log.topics[0], CLAIMED)) return { kind: "claim", ...at, amount: data[0] };
      return { kind: "terms", ...at, bps: data[0], checkpointGross: data[1], accrued: data[2] };
    });
  }

  async #view(signature, values, block, count, to = this.address) {
    const data = callData(signature, values);
    const result = words(await this.ask("eth_call", [{ to, data }, quantity(block)]));
    if (result.length < count) throw new Malformed(`There is no contract at ${to} that knows ${signature}.`);
    return result;
  }

  // Many nodes give logs of short ranges only: a range that is refused is asked for in halves.
  async #logs(filter, from, upto) {
    const found = [];
    const ranges = [[from, upto]];
    for (let requests = 0; ranges.length; requests++) {
      const [first, last] = ranges.pop();
      try {
        if (requests > MOST_REQUESTS) break;
        const range = { fromBlock: quantity(first), toBlock: quantity(last) };
        found.push(...(await this.ask("eth_getLogs", [{ ...filter, ...range }])));
      } catch (error) {
        if (first === last) throw error;
        const middle = Math.floor((first + last) / 2);
        ranges.push([middle + 1, last], [first, middle]);
      }
    }
    if (ranges.length) throw new Unreadable("This node gives logs in very short ranges of blocks only: use another one.");
    return found;
  }
}

/**
 * Decodes the calldata of `settleBatch`, laid out as the contract insists on.
 * @param {string} input
 */
export function settleBatch(input) {
  const read = words("0x" + input.slice(SETTLE_BATCH.length));
  const [oldRoot, newRoot, commitment, receiptsRoot, receiptsTotal] = read;
  const slots = array(read, HEAD_WORDS);
  const partners = array(read, HEAD_WORDS + 1 + slots.length);
  if (read.length !== HEAD_WORDS + 2 + slots.length + partners.length) {
    throw new Malformed("the calldata of settleBatch has another length");
  }
  let charges = 0n;
  for (let i = 0; i < slots.length; i += 2) charges += (slots[i] >> SLOT_CHARGE_SHIFT) & AMOUNT_MASK;
  return {
    header: { oldRoot, newRoot, commitment, receiptsRoot, receiptsTotal },
    charges,
    partners: new Map(partners.map((one) => [Number(one >> 64n), one & GROSS_MASK])),
  };
}

function array(read, at) {
  const length = read[at];
  if (length === undefined || length > BigInt(read.length)) throw new Malformed("the calldata of settleBatch is cut off");
  return read.slice(at + 1, at + 1 + Number(length));
}

function words(data) {
  if (typeof data !== "string" || !/^0x([0-9a-fA-F]{64})*$/.test(data)) {
    throw new Malformed("the node's answer is not made of words of 32 bytes");
  }
  const found = [];
  for (let at = 2; at < data.length; at += WORD) found.push(BigInt("0x" + data.slice(at, at + WORD)));
  return found;
}

function addressOf(value) {
  return "0x" + value.toString(16).padStart(40, "0");
}

function quantity(block) {
  return typeof block === "number" ? "0x" + block.toString(16) : block;
}

function same(one, other) {
  return typeof one === "string" && one.toLowerCase() === other.toLowerCase();
}
