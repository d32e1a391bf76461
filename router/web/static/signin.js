// The sign-in page: offers the browser's wallets, and goes on to where the visitor wanted to be.

import { ask, discover, explain, signIn } from "./wallet.js";

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

function offer({ name, icon, provider }) {
  const button = document.createElement("button");
  button.type = "button";
  if (icon?.startsWith("data:image/")) {
    const image = document.createElement("img");
    Object.assign(image, { src: icon, alt: "", width: 28, height: 28 });
    button.append(image);
  }
  button.append(`Sign in with ${name}`);
  button.addEventListener("click", () => enter(provider));
  place.append(button);
}

if (place && (await discover(offer)).length === 0) {
  say("No wallet was found in this browser.");
}
