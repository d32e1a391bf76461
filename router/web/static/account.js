// A wallet's account in the settlement contract: what it holds there, and the calls and signatures that change it.
// Read through the wallet's own node, so that the page shows what the chain says, not what the router says.
// Source: contracts/src/interfaces/ISettlement.sol, EIP-20, EIP-712, EIP-3009.

import { callData, hex, selector, unhex, word, words } from "./abi.js";
import { keccak256 } from "./keccak.js";
import { Refused, read } from "./wallet.js";

/** What the contract takes at most at once, base units. */
export const MAX_AMOUNT_BASE = 2n ** 54n - 1n;
export const STATUS = ["none", "unopened", "open", "frozen", "exited"];

const VALID_S = 3600;
const RECEIVE = [
  { name: "from", type: "address" },
  { name: "to", type: "address" },
  { name: "value", type: "uint256" },
  { name: "validAfter", type: "uint256" },
  { name: "validBefore", type: "uint256" },
  { name: "nonce", type: "bytes32" },
];

/** Why the contracts refuse, in words, by the custom error's selector. */
export const REVERTS = Object.fromEntries(
  [
    ["ERC20InsufficientBalance(address,uint256,uint256)", "Your wallet has too few VIBES for this."],
    ["ERC20InsufficientAllowance(address,uint256,uint256)", "The approval is not there yet. Try again in a moment."],
    ["DepositTooSmall(uint256,uint256)", "A first deposit has to be larger: see the minimum on this page."],
    ["InvalidKeyCommit(uint256)", "A first deposit names a session key, a later one does not. Load the page again."],
    ["InvalidAmount(uint256)", "The contract takes no such amount."],
    ["IsPaused()", "The contract takes no deposits just now: its guardian paused it. Withdrawing goes on."],
    ["AccountIsFrozen(uint256)", "The account was frozen: it takes no deposits or requests any more."],
    ["NotOwner(address)", "This wallet owns no account in the contract."],
    ["WithdrawalOutstanding(uint256)", "A withdrawal is asked for already: one at a time."],
    ["KeyRequestOutstanding(uint256)", "A change of the session key is asked for already: one at a time."],
    ["CancelOutstanding(uint256)", "Taking the deposit back is announced already."],
    ["CancelNotDue(uint256,uint256)", "The deposit cannot be taken back yet: its time is shown on this page."],
    ["NothingToPay()", "There is nothing to pay out."],
    ["NothingOverdue(uint256)", "No request is overdue: the operator still has time to serve it."],
    ["AccountNotOpened(uint256)", "No batch has opened the account yet: take the deposit back instead."],
  ].map(([error, told]) => [selector(error), told]),
);

/**
 * What a wallet has, in it and in the contract. Amounts are base units, times unix seconds, 0 for none.
 * @param {object} provider EIP-1193, on the right chain
 * @param {{settlement: string, token: ?string}} place
 * @param {string} owner address
 */
export async function holdings(provider, place, owner) {
  const view = async (to, signature, values = []) =>
    words(await read(provider, "eth_call", [{ to, data: callData(signature, values) }, "latest"]));
  const [token] = await view(place.settlement, "token()");
  if (token === undefined) throw new Refused("There is no settlement contract at the address that this router names.");
  const tokenAddress = "0x" + token.toString(16).padStart(40, "0");
  const [[idx], [wallet], [least], [serviceDeadline], [allowed]] = await Promise.all([
    view(place.settlement, "indexOf(address)", [owner]),
    view(tokenAddress, "balanceOf(address)", [owner]),
    view(place.settlement, "minFirstDeposit()"),
    view(place.settlement, "serviceDeadline()"),
    view(tokenAddress, "allowance(address,address)", [owner, place.settlement]),
  ]);
  const told = await view(place.settlement, "account(uint256)", [idx]);
  const block = await read(provider, "eth_getBlockByNumber", ["latest", false]);
  return {
    idx: Number(idx),
    token: tokenAddress,
    wallet,
    allowed,
    least,
    serviceDeadline: Number(serviceDeadline),
    now: Number(block.timestamp),
    pendingDeposit: told[1],
    requested: told[2],
    withdrawable: told[3],
    withdrawDeadline: Number(told[4]),
    keyDeadline: Number(told[5]),
    requestedKey: told[6],
    cancelling: told[7],
    cancelDeadline: Number(told[8]),
    status: STATUS[Number(told[9])],
  };
}

/** True if the owner may freeze the account: a request was not served in time. */
export function overdue({ status, now, withdrawDeadline, keyDeadline }) {
  return status === "open" && [withdrawDeadline, keyDeadline].some((deadline) => deadline > 0 && deadline < now);
}

/** Says in words why a deposit would be refused; throws then. */
export function checkDeposit(held, amount) {
  if (amount < 1n || amount > MAX_AMOUNT_BASE) throw new Refused("The contract takes no such amount.");
  if (held.status === "frozen" || held.status === "exited") {
    throw new Refused(`The account is ${held.status}: it takes no deposits any more.`);
  }
  if (held.wallet < amount) throw new Refused(`Your wallet has ${vibes(held.wallet)} VIBES, not ${vibes(amount)}.`);
  if (held.idx === 0 && amount < held.least) throw new Refused(`A first deposit is at least ${vibes(held.least)} VIBES.`);
}

/**
 * A deposit that the router may send: what the wallet signs, and what goes to POST /v1/deposits with the signature.
 * @param {{chain_id: number, settlement: string, token: string, token_name: string, token_version: string}} terms
 * @param {string} owner address
 * @param {bigint} amount base units
 * @param {bigint} keyCommit of a first deposit, 0n later
 * @param {number} now unix seconds, as the chain has it
 * @param {Uint8Array} salt 32 random bytes
 */
export function depositOrder(terms, owner, amount, keyCommit, now, salt) {
  const validBefore = Math.max(now, Math.floor(Date.now() / 1000)) + VALID_S;
  const nonce = hex(keccak256(unhex(word(keyCommit) + hex(salt).slice(2))));
  const { token_name: name, token_version: version, chain_id: chainId, token: verifyingContract } = terms;
  const typed = {
    types: { EIP712Domain: domainOf({ name, version, chainId, verifyingContract }), ReceiveWithAuthorization: RECEIVE },
    primaryType: "ReceiveWithAuthorization",
    domain: { name, version, chainId, verifyingContract },
    message: { from: owner, to: terms.settlement, value: `${amount}`, validAfter: 0, validBefore, nonce },
  };
  const sent = { amount_base: `${amount}`, key_commit: `${keyCommit}`, salt: hex(salt), valid_before_s: validBefore };
  return { typed, sent };
}

/** The calls of the contract that an owner sends; each is `{to, data}`. */
export const calls = {
  approve: ({ token }, { settlement }, amount) => to(token, "approve(address,uint256)", [settlement, amount]),
  deposit: ({ settlement }, amount, commit) => to(settlement, "deposit(uint256,uint256)", [amount, commit]),
  requestWithdrawal: ({ settlement }, amount) => to(settlement, "requestWithdrawal(uint256)", [amount]),
  withdraw: ({ settlement }, idx) => to(settlement, "withdraw(uint256)", [idx]),
  freeze: ({ settlement }, idx) => to(settlement, "freeze(uint256)", [idx]),
  announceCancel: ({ settlement }) => to(settlement, "announceCancelDeposit()", []),
  cancel: ({ settlement }, idx) => to(settlement, "cancelDeposit(uint256)", [idx]),
  setKey: ({ settlement }, commit) => to(settlement, "setSessionKey(uint256)", [commit]),
};

/** @returns {string} an amount in VIBES: all of its digits, but no zeros behind the second, thousands apart */
export function vibes(base) {
  const digits = String(base % 1_000_000n).padStart(6, "0").replace(/0{1,4}$/, "");
  return `${String(base / 1_000_000n).replace(/\B(?=(\d{3})+$)/g, ",")}.${digits}`;
}

/**
 * @returns {bigint} base units of an amount in VIBES as a person types it; throws in words. Commas are for thousands
 *   only: half of the world writes 12,50 for twelve and a half.
 */
export function amountOf(text) {
  const found = /^(\d{1,11}|\d{1,3}(?:,\d{3}){1,3})(?:\.(\d{1,6}))?$/.exec(text.trim());
  const whole = found?.[1].replaceAll(",", "");
  if (!found || /^0*$/.test(whole + (found[2] ?? ""))) throw new Refused("Type an amount in VIBES, such as 250 or 0.5.");
  return BigInt(whole) * 1_000_000n + BigInt((found[2] ?? "").padEnd(6, "0"));
}

function to(address, signature, values) {
  return { to: address, data: callData(signature, values) };
}

function domainOf(domain) {
  const types = { name: "string", version: "string", chainId: "uint256", verifyingContract: "address" };
  return Object.keys(domain).map((name) => ({ name, type: types[name] }));
}
