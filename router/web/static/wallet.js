// The wallet of this browser, as every page uses it: found (EIP-6963, else EIP-1193), connected, brought to the right
// chain, asked to sign and to send; and what goes wrong with wallets and with the router, said in words that help.

import { hex } from "./abi.js";
import { keccak256 } from "./keccak.js";

/** Something was refused; the message is for a person. */
export class Refused extends Error {}

/** No answer of the router came, or that it failed: what it was asked to do may have happened. */
export class Unanswered extends Refused {}

const ANNOUNCE_MS = 300; // how long wallets have to announce themselves before `window.ethereum` counts
const ANSWER_MS = 15_000; // in which a wallet answers what it need not ask its owner
const POLL_MS = 1_000;
const MINED_MS = 180_000;
const NO_SESSION = "invalid_api_key"; // what the router says to whoever is not signed in
const UNKNOWN_CHAIN = 4902; // wallet_switchEthereumChain, EIP-3085

const DECLINED = "You declined in your wallet. Nothing was done; try again when you like.";
const LOCKED =
  "Your wallet is locked, or shows this site no account. Unlock it, choose an account for this site, and try again.";
const UNREACHABLE =
  "Your wallet cannot reach its network. Check the connection and the network's RPC address in the wallet, and try again.";
const POOR = "Your wallet has too little of the network's own coin to pay for gas.";
const ENDED = "Your session has ended. Sign in again, and come back to this page.";
const SILENT = "The router cannot be reached. Check your connection and try again.";

// EIP-1193, EIP-1474, and what wallets made of them
const CODES = new Map([
  [4001, DECLINED],
  ["ACTION_REJECTED", DECLINED],
  [4100, LOCKED],
  [4200, "Your wallet cannot do this. Try another one."],
  [4900, UNREACHABLE],
  [4901, UNREACHABLE],
  [UNKNOWN_CHAIN, "Your wallet does not know the network that is needed here. Add it there, and try again."],
  [-32002, "Your wallet already waits for an answer of yours: open it."],
  [-32005, "The node behind your wallet is asked too much just now. Try again in a minute."],
]);
const HINTS = [
  [/insufficient funds|gas required exceeds allowance/i, POOR],
  [/user (rejected|denied|cancell?ed)|(rejected|denied) by (the )?user/i, DECLINED],
  [/wallet is locked|keyring.*locked/i, LOCKED],
  [/failed to fetch|networkerror|load failed|econnrefused|socket hang up|timed? ?out/i, UNREACHABLE],
];

/**
 * What went wrong, in words that help.
 * @param {unknown} error whatever was thrown
 * @param {Object<string, string>} reverts words for custom errors of contracts, by selector ("0x" and 8 digits)
 * @returns {string}
 */
export function explain(error, reverts = {}) {
  const causes = [...nested(error)];
  const refused = causes.find((one) => one instanceof Refused);
  if (refused) return refused.message;
  for (const { data } of causes) {
    if (typeof data === "string" && data.slice(0, 10) in reverts) return reverts[data.slice(0, 10)];
  }
  for (const { code } of causes) if (CODES.has(code)) return CODES.get(code);
  const told = causes.map((one) => one.message).filter((text) => typeof text === "string");
  for (const [hint, words] of HINTS) if (told.some((text) => hint.test(text))) return words;
  return `That failed: ${told[0] ?? error}`;
}

// Wallets wrap the node's error in their own, each in another field.
function* nested(error, depth = 0) {
  if (error === null || typeof error !== "object" || depth > 4) return;
  yield error;
  for (const name of ["data", "error", "cause", "originalError"]) yield* nested(error[name], depth + 1);
}

/**
 * Finds the browser's wallets.
 * @param {function({id: string, name: string, icon: ?string, provider: object}): void} found is called for each, also
 *   for those that announce themselves late
 * @returns {Promise<Array>} those found after a moment
 */
export async function discover(found = () => {}) {
  const wallets = new Map();
  const offer = (id, name, icon, provider) => {
    if (wallets.has(id)) return;
    wallets.set(id, { id, name, icon, provider });
    found(wallets.get(id));
  };
  window.addEventListener("eip6963:announceProvider", ({ detail }) => {
    offer(detail.info.uuid, detail.info.name, detail.info.icon, detail.provider);
  });
  window.dispatchEvent(new Event("eip6963:requestProvider"));
  await pause(ANNOUNCE_MS);
  if (wallets.size === 0 && window.ethereum) {
    offer("ethereum", "the wallet of this browser", null, window.ethereum);
  }
  return [...wallets.values()];
}

/**
 * A button for one of the wallets that `discover` found, with its icon.
 * @param {{name: string, icon: ?string}} wallet
 * @param {string} verb what it is for, such as "Connect"
 * @param {function(): void} clicked
 */
export function walletButton({ name, icon }, verb, clicked) {
  const button = Object.assign(document.createElement("button"), { type: "button" });
  if (icon?.startsWith("data:image/")) {
    button.append(Object.assign(document.createElement("img"), { src: icon, alt: "", width: 28, height: 28 }));
  }
  button.append(`${verb} ${name}`);
  button.addEventListener("click", clicked);
  return button;
}

/**
 * Asks the wallet for its account.
 * @param {object} provider EIP-1193
 * @param {?string} expected the address that is signed in here, if it must be this one
 * @returns {Promise<string>} address, as the wallet writes it
 */
export async function connect(provider, expected = null) {
  const accounts = await provider.request({ method: "eth_requestAccounts" });
  if (!Array.isArray(accounts) || accounts.length === 0) throw new Refused(LOCKED);
  if (expected === null) return accounts[0];
  const found = accounts.find((address) => address.toLowerCase() === expected.toLowerCase());
  if (found) return found;
  throw new Refused(
    `Your wallet shows account ${short(accounts[0])}, but you are signed in as ${short(expected)}. ` +
      "Choose that account in your wallet, or sign in again with this one.",
  );
}

/**
 * Brings the wallet to a chain; asks its owner to switch, and to add the chain if the wallet lacks it.
 * @param {object} provider EIP-1193
 * @param {{id: number, name: string, rpc_url: ?string, explorer_url: ?string}} chain
 */
export async function onChain(provider, chain) {
  const id = `0x${chain.id.toString(16)}`;
  if ((await chainOf(provider)) === chain.id) return;
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: id }] });
  } catch (error) {
    const unknown = [...nested(error)].some(({ code }) => code === UNKNOWN_CHAIN);
    if (!unknown || !chain.rpc_url) throw wrongNetwork(chain, error);
    await provider.request({ method: "wallet_addEthereumChain", params: [added(id, chain)] });
  }
  if ((await chainOf(provider)) !== chain.id) throw wrongNetwork(chain);
}

/**
 * Signs in (EIP-4361); the router checks the two at POST /v1/signin.
 * @param {object} provider EIP-1193
 * @param {string} statement what the wallet shows that it is for
 * @returns {Promise<{address: string, message: string, signature: string}>}
 */
export async function signIn(provider, statement = "Sign in to your VIBES account.") {
  const address = await connect(provider);
  const told = await ask("/v1/signin/nonce");
  if (location.origin !== new URL(told.uri).origin) {
    throw new Refused(`This page belongs to ${told.uri}: open it there.`);
  }
  const message = [
    `${told.domain} wants you to sign in with your Ethereum account:`,
    checksummed(address), // EIP-4361 asks for it, and wallets that know such messages look
    "",
    statement,
    "",
    `URI: ${told.uri}`,
    `Version: ${told.version}`,
    `Chain ID: ${told.chain_id}`,
    `Nonce: ${told.nonce}`,
    `Issued At: ${new Date().toISOString()}`,
  ].join("\n");
  const signature = await provider.request({ method: "personal_sign", params: [hex(utf8(message)), address] });
  return { address, message, signature };
}

/**
 * Asks the wallet to sign typed data (EIP-712).
 * @returns {Promise<string>} "0x" and hex digits
 */
export async function signTyped(provider, address, typed) {
  return provider.request({ method: "eth_signTypedData_v4", params: [address, JSON.stringify(typed)] });
}

/**
 * Tries a call, so that a refusal of the contract comes with its reason, then has the wallet send it.
 * @param {object} provider EIP-1193
 * @param {{from: string, to: string, data: string}} call
 * @returns {Promise<string>} hash of the transaction
 */
export async function send(provider, call) {
  await read(provider, "eth_call", [call, "latest"]);
  return provider.request({ method: "eth_sendTransaction", params: [call] });
}

/** Asks the wallet for what it need not ask its owner; a node that does not answer is told as that. */
export async function read(provider, method, params) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Refused(UNREACHABLE)), ANSWER_MS);
  });
  return Promise.race([provider.request({ method, params }), late]).finally(() => clearTimeout(timer));
}

/** Waits until a sent transaction is mined, also while the wallet's node is away; throws if it reverted. */
export async function mined(provider, hash) {
  const deadline = Date.now() + MINED_MS;
  for (;;) {
    const receipt = await read(provider, "eth_getTransactionReceipt", [hash]).catch(() => null);
    if (receipt) {
      if (BigInt(receipt.status) !== 1n) throw new Refused(`The chain refused the transaction ${hash}.`);
      return receipt;
    }
    if (Date.now() > deadline) {
      throw new Refused(`The transaction ${hash} is not mined yet. It still may be: look again later.`);
    }
    await pause(POLL_MS);
  }
}

/**
 * Asks the router.
 * @param {string} path
 * @param {{method: ?string, body: ?object, headers: ?object, credentials: ?string}} given a body makes it a POST
 * @returns {Promise<?object>} its JSON
 */
export async function ask(path, { method, body, headers = {}, credentials = "same-origin" } = {}) {
  const options = { method: method ?? (body === undefined ? "GET" : "POST"), headers, credentials };
  if (body !== undefined) options.body = JSON.stringify(body);
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: "no-store", redirect: "error" });
  } catch {
    throw new Unanswered(SILENT);
  }
  const told = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok && (told !== null || answer.status === 204)) return told;
  if (told?.error?.code === NO_SESSION) throw new Refused(ENDED);
  const words = told?.error?.message;
  if (words && answer.status < 500) throw new Refused(words);
  throw new Unanswered(words ?? `The router answered ${answer.status}; what it said was lost. Try again.`);
}

/** An address with its checksum (EIP-55). */
export function checksummed(address) {
  const plain = address.slice(2).toLowerCase();
  const hash = hex(keccak256(utf8(plain))).slice(2);
  return "0x" + [...plain].map((digit, at) => (hash[at] >= "8" ? digit.toUpperCase() : digit)).join("");
}

/** An address as people compare it. */
export function short(address) {
  return `${address.slice(0, 6)}…${address.slice(-4)}`;
}

function wrongNetwork(chain, cause) {
  const words = `Your wallet is on another network. Switch it to ${chain.name} (chain ${chain.id}), and try again.`;
  return new Refused(words, { cause });
}

function added(id, chain) {
  return {
    chainId: id,
    chainName: chain.name,
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: [chain.rpc_url],
    ...(chain.explorer_url ? { blockExplorerUrls: [chain.explorer_url] } : {}),
  };
}

async function chainOf(provider) {
  return Number(await read(provider, "eth_chainId"));
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
