// A partner's page: checks its figures through a node that the visitor chooses, and claims with the payout wallet.

import { callData, selector } from "./abi.js";
import { Settlement, Unreadable, httpNode, walletNode } from "./settlement.js";
import { verifyAccount, verifyBatch } from "./verify.js";
import { Refused, connect, discover, explain, mined, onChain, send, short } from "./wallet.js";

const KEPT = "vibes-node"; // the node's address, and what was asked for before the page was loaded anew for it
const BASE_PER_VIBES = 1_000_000n;
const REVERTS = { [selector("NothingToPay()")]: "There is nothing to claim: everything settled so far was paid." };

const at = (id) => document.getElementById(id);
const given = at("partner").dataset;
const told = {
  chain: Number(given.chain),
  partner: Number(given.partner),
  block: Number(given.block),
  gross: BigInt(given.gross),
  bps: BigInt(given.bps),
  paid: BigInt(given.paid),
  claimable: BigInt(given.claimable),
  payout: given.payout,
};
const chain = { id: told.chain, name: `chain ${told.chain}`, rpc_url: null, explorer_url: null };
const here = `/partners/${told.partner}`;
const wallets = new Map();

/** Checks one batch, or everything if there is none; shows each check as it is made. */
async function verify(batch) {
  const ask = await chosenNode(batch);
  if (ask === null) return; // the page is loaded anew
  const settlement = new Settlement(ask, given.settlement);
  at("checks").replaceChildren();
  at("found").hidden = false;
  say("verify-status", "Checking …");
  let [count, failed, stopped] = [0, null, null];
  try {
    for await (const check of await checksOf(settlement, batch)) {
      show(check);
      count += 1;
      if (!check.holds) failed ??= check;
    }
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    stopped = error.message;
  }
  at("found").hidden = count === 0;
  conclude(batch ? `batch ${batch.batch}` : "all figures of this page", count, failed, stopped);
  at("verify-status").focus();
}

async function checksOf(settlement, batch) {
  if (!batch) return verifyAccount(settlement, told, await allBatches());
  return verifyBatch(settlement, { ...told, ...batch }, lines(`${here}/batches/${batch.batch}.jsonl`));
}

// A check that failed counts, even if others could not be made; what could not be read proves nothing against anybody.
function conclude(subject, count, failed, stopped) {
  if (failed !== null) {
    const rest = stopped === null ? "" : ` Further checks could not be made: ${stopped}`;
    say("verify-status", `Do not trust ${subject}. The first check that fails: ${failed.says}.${rest}`, "problem");
  } else if (stopped !== null) {
    const before = count === 0 ? "" : ` The ${count} made before it hold.`;
    say("verify-status", `Not checked: ${subject}. ${stopped}${before}`, "caution");
  } else {
    say("verify-status", `Checked ${subject}: all ${count} checks hold.`, "said");
  }
}

/** @returns {Promise<?function>} null if the page has to be loaded anew, with leave to connect to the node */
async function chosenNode(batch) {
  const choice = at("nodes").elements.node.value;
  if (choice !== "own") {
    const { provider } = wallets.get(choice);
    await onChain(provider, chain);
    return walletNode(provider);
  }
  const url = address(at("rpc").value.trim());
  sessionStorage.setItem(KEPT, JSON.stringify({ url: url.href, waits: url.origin !== given.origin, batch: batch?.batch }));
  if (url.origin === given.origin || url.origin === location.origin) return httpNode(url.href);
  const query = new URLSearchParams(location.search);
  query.set("rpc", url.origin);
  location.assign(`${location.pathname}?${query}`);
  return null;
}

function address(text) {
  try {
    const url = new URL(text);
    if (["http:", "https:"].includes(url.protocol) && !url.username) return url;
  } catch {
    // told below
  }
  at("rpc").focus();
  throw new Refused("Type the address of a node first: it begins with https:// or http://.");
}

function show({ says, one, other, holds }) {
  const row = document.createElement("tr");
  if (!holds) row.className = "bad";
  const mark = document.createElement("td");
  const badge = document.createElement("span");
  badge.className = holds ? "badge good" : "badge bad";
  badge.textContent = holds ? "✓ yes" : "✗ no";
  mark.append(badge);
  const what = document.createElement("td");
  what.className = "whole";
  what.textContent = says;
  const values = document.createElement("td");
  values.className = "whole";
  for (const value of holds ? [one] : [one, other]) {
    const line = document.createElement("div");
    line.textContent = value;
    values.append(line);
  }
  row.append(mark, what, values);
  at("checks").append(row);
}

async function allBatches() {
  const found = [];
  for await (const line of lines(`${here}/batches.jsonl`)) {
    const batch = JSON.parse(line);
    found.push({ ...batch, gross: BigInt(batch.gross) });
  }
  return found.reverse();
}

async function* lines(path) {
  const answer = await fetch(path, { cache: "no-store" }).catch(() => null);
  if (!answer?.ok) throw new Unreadable(`The router does not give ${path}: load the page again.`);
  let rest = "";
  for await (const text of texts(answer.body.pipeThrough(new TextDecoderStream()).getReader())) {
    const some = (rest + text).split("\n");
    rest = some.pop();
    yield* some;
  }
  if (rest) yield rest;
}

async function* texts(reader) {
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw new Unreadable("The router broke off in the middle of its answer: load the page again.");
    });
    if (done) return;
    yield value;
  }
}

async function claim({ provider, name }) {
  say("claim-status", `${name} asks you to connect …`);
  const [first, accounts] = [await connect(provider), await provider.request({ method: "eth_accounts" })];
  await onChain(provider, chain);
  const settlement = new Settlement(walletNode(provider), given.settlement);
  const { payout } = await settlement.terms(told.partner, "latest");
  if (!accounts.some((account) => account.toLowerCase() === payout)) {
    throw new Refused(
      `Your wallet shows account ${short(first)}, and this partner is paid at ${short(payout)}. You could send the claim, ` +
        "but the money would go there and the gas would be yours: choose that account in your wallet.",
    );
  }
  const amount = await settlement.claimable(told.partner, "latest");
  if (amount === 0n) throw new Refused(Object.values(REVERTS)[0]);
  say("claim-status", `${name} asks you to send the claim of ${vibes(amount)} VIBES …`);
  const data = callData("claimPartner(uint256)", [told.partner]);
  const hash = await send(provider, { from: payout, to: given.settlement, data });
  say("claim-status", `Sent: ${hash}. Waiting until it is mined …`);
  await mined(provider, hash);
  say("claim-status", `${vibes(amount)} VIBES were paid to ${payout} by transaction ${hash}.`, "said");
}

function vibes(base) {
  const digits = String(base % BASE_PER_VIBES).padStart(6, "0").replace(/0{1,4}$/, "");
  return `${base / BASE_PER_VIBES}.${digits}`;
}

function say(id, text, kind = "") {
  at(id).textContent = text;
  at(id).className = kind;
}

// One thing at a time; what goes wrong is said beside what was asked for.
async function during(id, action, subject) {
  const buttons = [...document.querySelectorAll("main button")];
  for (const button of buttons) button.disabled = true;
  try {
    await action(subject);
  } catch (error) {
    say(id, explain(error, REVERTS), "problem");
    at(id).focus();
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function button(text, action) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text });
  made.addEventListener("click", action);
  return made;
}

function batchOf({ dataset }) {
  const { transaction } = dataset;
  return { batch: Number(dataset.batch), transaction, block: Number(dataset.block), gross: BigInt(dataset.gross) };
}

function offer(wallet) {
  wallets.set(wallet.id, wallet);
  at("claim")?.append(button(`Claim with ${wallet.name}`, () => during("claim-status", claim, wallet)));
  const label = document.createElement("label");
  const choice = Object.assign(document.createElement("input"), { type: "radio", name: "node", value: wallet.id });
  label.append(choice, ` The node behind ${wallet.name}`);
  at("nodes").querySelector("fieldset").append(label);
}

const rows = [...document.querySelectorAll("tr[data-batch]")];
for (const row of rows) {
  const made = button("Verify", () => during("verify-status", verify, batchOf(row)));
  made.className = "quiet";
  made.setAttribute("aria-label", `Verify batch ${row.dataset.batch}`);
  row.lastElementChild.append(" ", made);
}
at("nodes").hidden = false;
at("nodes").addEventListener("submit", (event) => {
  event.preventDefault();
  during("verify-status", verify, null);
});

const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
if (kept) at("rpc").value = kept.url;
if (kept?.waits && new URL(kept.url).origin === given.origin) {
  const row = rows.find(({ dataset }) => Number(dataset.batch) === kept.batch);
  during("verify-status", verify, row ? batchOf(row) : null);
}
if ((await discover(offer)).length === 0 && at("claim")) {
  say("claim-status", "No wallet was found in this browser: open this page where the payout address's wallet is.", "note");
}
