// The sign-in page: offers the browser's wallets, and goes on to where the visitor wanted to be.

import { ask, discover, explain, signIn, walletButton } from "./wallet.js";

const place = document.getElementById("wallets");
const status = document.getElementById("status");

function say(text) {
  status.textContent = text;
}

async function enter(provider) {
  const buttons = [...place.querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  say("Your wallet asks you to connect and to sign a message; this costs nothing …");
  try {
    const { message, signature } = await signIn(provider);
    await ask("/signin", { body: { message, signature } });
    location.assign(place.dataset.onward);
  } catch (error) {
    say(explain(error));
    status.focus();
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

function offer(wallet) {
  place.append(walletButton(wallet, "Sign in with", () => enter(wallet.provider)));
}

if (place && (await discover(offer)).length === 0) {
  say("No wallet was found in this browser.");
}
