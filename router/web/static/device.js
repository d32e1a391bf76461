// The device page: signs in with a wallet, shows what a program asks for, and approves or denies it. The session
// lives in this module only and ends with the decision.

import { Refused, ask, discover, explain, signIn, walletButton } from "./wallet.js";

const BASE_PER_VIBES = 1_000_000n;
const SCOPES = {
  chat: "call models",
  embeddings: "turn texts into vectors",
  models: "list models",
  "account:read": "see the balance and receipts",
  "account:write": "store spending ceilings that your session key signed",
  "keys:read": "list your API keys (never their secrets)",
};

const at = (id) => document.getElementById(id);
let session = null;

function tell(path, body, headers = {}) {
  return ask(path, { body, headers: { ...headers, authorization: `Bearer ${session}` }, credentials: "omit" });
}

function say(text, focus = false) {
  at("status").textContent = text;
  if (focus) at("status").focus();
}

async function open(provider) {
  say("Your wallet asks you to connect and to sign a message; this costs nothing …");
  const { message, signature } = await signIn(provider, "Sign in to decide about the login of a program.");
  session = (await ask("/v1/signin", { body: { message, signature }, credentials: "omit" })).token;
}

async function begin(provider) {
  if (!at("ask").reportValidity()) return;
  await open(provider);
  try {
    fill(await tell("/v1/device/show", { user_code: at("code").value }));
  } catch (error) {
    await signOut();
    throw error;
  }
  at("ask").hidden = at("elsewhere").hidden = true;
  at("request").hidden = false;
  at("asks").focus();
}

function fill(told) {
  if (told.accounts.length === 0) throw new Refused(`${told.address} has no account here yet: deposit first.`);
  at("client").textContent = told.client_id + (told.device_name ? `, on “${told.device_name}”` : "");
  at("scopes").textContent = told.scopes.map((scope) => SCOPES[scope] ?? scope).join("; ");
  at("address").textContent = told.address;
  at("account").replaceChildren(...told.accounts.map((idx) => new Option(`account ${idx}`, idx)));
  say(`Decide before ${new Date(told.expires_s * 1000).toLocaleTimeString()}.`);
}

function base(text) {
  const [whole, part = ""] = text.trim().split(".");
  return (BigInt(whole) * BASE_PER_VIBES + BigInt(part.padEnd(6, "0"))).toString();
}

function limits() {
  const chosen = {};
  if (at("day").value.trim()) chosen.day_limit_base = base(at("day").value);
  if (at("month").value.trim()) chosen.month_limit_base = base(at("month").value);
  const days = at("days").value.trim();
  if (days) chosen.expires_s = Math.floor(Date.now() / 1000) + Number(days) * 86_400;
  return chosen;
}

async function approve() {
  const body = { user_code: at("code").value, ...limits() };
  await tell("/v1/device/approve", body, { "x-vibes-account": at("account").value });
  await finish("Approved. Go back to your device; you can close this page.");
}

async function deny() {
  await tell("/v1/device/deny", { user_code: at("code").value });
  await finish("Denied. The program gets no key; you can close this page.");
}

async function finish(text) {
  at("request").hidden = true;
  await signOut();
  say(text, true);
}

async function signOut() {
  await tell("/v1/signout", {}).catch(() => {});
  session = null;
}

// One thing at a time; a wallet that refuses, or a router that does, leaves the page as it was.
async function during(action, ...given) {
  const buttons = [...document.querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  try {
    await action(...given);
  } catch (error) {
    say(explain(error), true);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function offer(wallet) {
  at("wallets").append(walletButton(wallet, "Sign in with", () => during(begin, wallet.provider)));
}

at("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  at("wallets").querySelector("button")?.click();
});
at("decide").addEventListener("submit", (event) => {
  event.preventDefault();
  during(approve);
});
at("deny").addEventListener("click", () => during(deny));
history.replaceState(null, "", location.pathname); // the code stays out of the history and of bookmarks

const wallets = await discover(offer);
if (wallets.length === 0) say("No wallet was found in this browser.");
