// The money page: deposits, the session key and its ceilings, withdrawals. The wallet signs and sends; the router sends
// at most what the wallet signed. The session key's secret lives in `signer` only, for as long as the page is open.

import {
  MAX_AMOUNT_BASE,
  REVERTS,
  amountOf,
  calls,
  checkDeposit,
  depositOrder,
  holdings,
  vibes,
} from "./account.js";
import { allowSpending, stopSigning } from "./ceilings.js";
import { Signer } from "./daily.js";
import { say, show } from "./money_view.js";
import { again, relay } from "./relay.js";
import { commitment, secretOf, typedData } from "./session_key.js";
import { Refused, ask, connect, discover, explain, mined, onChain, send, signTyped, walletButton } from "./wallet.js";

const MAX_KEY_NUMBER = 1_000_000;
const NO_WALLET = "No wallet was found in this browser: open this page in one that has a wallet, and connect it here.";
const at = (id) => document.getElementById(id);
const given = JSON.parse(at("money").dataset.given);
const place = { chain_id: given.chain.id, settlement: given.settlement };
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;

let provider = null; // the wallet that was chosen
let owner = null; // its account, as it writes it
let signer = null;

// ---- the wallet

async function ready() {
  if (!provider) throw new Refused(at("wallets").childElementCount ? "Choose a wallet first: at the top of this page." : NO_WALLET);
  say("Your wallet …");
  owner = await connect(provider, given.address);
  await onChain(provider, given.chain);
  return look();
}

async function look() {
  const held = await holdings(provider, place, owner);
  show(held);
  return held;
}

async function transact(call, words) {
  say(`Your wallet asks you to ${words} …`);
  const hash = await send(provider, { from: owner, ...call });
  say(`Sent as ${hash}. Waiting for the chain …`);
  await mined(provider, hash);
  return look();
}

// ---- deposits

async function depositBySignature() {
  const held = await ready();
  const amount = amountOf(at("amount").value);
  const signed = again(amount, held.now) ?? (await signDeposit(held, amount));
  say("The router checks and sends it …");
  await relay(signed, say);
  await look();
  deposited(amount);
}

async function signDeposit(held, amount) {
  checkDeposit(held, amount);
  const commit = await firstKey(held);
  const salt = crypto.getRandomValues(new Uint8Array(32));
  const { typed, sent } = depositOrder(given.relay, owner, amount, commit, held.now, salt);
  say(`Your wallet asks you to sign the deposit of ${vibes(amount)} VIBES; this costs no gas …`);
  return { ...sent, signature: await signTyped(provider, owner, typed) };
}

async function depositByApproval() {
  const held = await ready();
  const amount = amountOf(at("amount").value);
  checkDeposit(held, amount);
  const commit = await firstKey(held);
  if (held.allowed < amount) {
    await transact(calls.approve(held, place, amount), `let the contract take ${vibes(amount)} VIBES`);
  }
  await transact(calls.deposit(place, amount, commit), `deposit ${vibes(amount)} VIBES`);
  deposited(amount);
}

function deposited(amount) {
  done(`${vibes(amount)} VIBES are deposited. The router counts them once the chain is sure: load the page again soon.`);
}

/** The commitment that a first deposit names; 0n for a later one. */
async function firstKey(held) {
  return held.idx === 0 ? newKey(chosen("key"), 0) : 0n;
}

async function newKey(kind, number) {
  if (kind === "own") return commitment(await ownSecret(number));
  if (given.held_commit) return BigInt(given.held_commit);
  const made = await ask("/v1/session-keys", { body: {} });
  given.held_commit = made.key_commit;
  return BigInt(made.key_commit);
}

async function announce() {
  await ready();
  const held = await transact(calls.announceCancel(place), "announce that you take the deposit back");
  done(`Announced: ${vibes(held.cancelling)} VIBES. The rest is said below the deposits.`);
}

async function cancel() {
  const { idx } = await ready();
  await transact(calls.cancel(place, idx), "take the deposit back");
  done("The deposit is ready to be paid out: see Withdraw.");
}

// ---- session key and ceilings

async function ownSecret(number) {
  say("Your wallet asks you to sign for your session key; this costs nothing and moves nothing …");
  try {
    return secretOf(await signTyped(provider, owner, typedData(place.chain_id, place.settlement, number)));
  } catch (error) {
    if (error instanceof RangeError) throw new Refused("This wallet makes no session key of its own. Let the router hold one.");
    throw error;
  }
}

async function unlock() {
  if (signer) return;
  // keys are numbered from 0; a changed key has another number, which the form of the change was told
  for (let number = 0; number < 3; number++) {
    const made = new Signer(await ownSecret(number), place, given.account);
    if (String(made.commit) === given.key_commit) {
      signer = made;
      return;
    }
    say("That is not the account's key: trying the next number …");
  }
  throw new Refused("None of the first three keys of this wallet is the account's. Change the key below to one of them.");
}

async function allow() {
  const daily = amountOf(at("daily").value);
  const whole = at("whole").checked;
  await ready();
  await unlock();
  await allowSpending(signer, daily, whole, failed);
}

async function changeKey() {
  await ready();
  const number = Number(at("key-number").value);
  if (!Number.isInteger(number) || number < 0 || number > MAX_KEY_NUMBER) throw new Refused("Keys are numbered 0, 1, 2 …");
  const commit = await newKey(chosen("new-key"), number);
  await transact(calls.setKey(place, commit), "change the session key");
  stopSigning();
  signer = null;
  done("The new key is asked for. Load this page again once a batch has put it in place.");
}

// ---- withdrawals

async function withdraw() {
  const amount = at("everything").checked ? MAX_AMOUNT_BASE : amountOf(at("back").value);
  const held = await ready();
  if (held.status !== "open") {
    throw new Refused(
      held.status === "unopened"
        ? "No batch has opened the account yet: take the deposit back instead, under Deposit."
        : `The account on chain is ${held.status}: there is nothing to ask for.`,
    );
  }
  await transact(calls.requestWithdrawal(place, amount), "ask for the withdrawal");
  done("Asked for. One of the next batches sets it aside; then pay it out here.");
}

async function payOut() {
  const { idx, withdrawable } = await ready();
  await transact(calls.withdraw(place, idx), "pay out");
  done(`${vibes(withdrawable)} VIBES are in your wallet.`);
}

async function freeze() {
  const { idx } = await ready();
  await transact(calls.freeze(place, idx), "freeze the account for good");
  done("The account is frozen. `vibes exit` pays its balance by a proof, from the chain alone.");
}

// ---- the page

function done(text) {
  say(text, true);
}

function failed(error) {
  say(explain(error, REVERTS), true);
}

// One thing at a time; a wallet that refuses, or a router that does, leaves the page as it was.
async function during(action) {
  const buttons = [...at("money").querySelectorAll("button:enabled")];
  for (const button of buttons) button.disabled = true;
  try {
    await action();
  } catch (error) {
    failed(error);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function onClick(id, action) {
  at(id)?.addEventListener("click", () => during(action));
}

function onSubmit(id, action) {
  at(id)?.addEventListener("submit", (event) => {
    event.preventDefault();
    during(action);
  });
}

function offer(wallet) {
  const button = walletButton(wallet, "Connect", () => {
    provider = wallet.provider;
    during(async () => {
      await ready();
      say("Connected.");
    });
  });
  at("wallets").append(button);
  provider ??= wallet.provider;
}

onSubmit("deposit", given.relay ? depositBySignature : depositByApproval);
if (given.relay) onClick("by-approval", depositByApproval);
onSubmit("ceiling", allow);
onSubmit("change-key", changeKey);
onSubmit("withdraw", withdraw);
for (const [id, action] of Object.entries({ announce, cancel, "pay-out": payOut, freeze })) onClick(id, action);
at("stop-signing")?.addEventListener("click", () => {
  stopSigning();
  say("No further ceiling is signed.");
});

const wallets = await discover(offer);
if (wallets.length === 0) say(NO_WALLET);
if (wallets.length > 1) provider = null;
