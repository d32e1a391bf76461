// Lets the session key allow spending, a step ahead of need for as long as the money page is open.

import { vibes } from "./account.js";
import { EarlierKey } from "./daily.js";
import { say } from "./money_view.js";
import { Unanswered, ask } from "./wallet.js";

const STEP_MS = 5_000;
let signing = null; // the timer of the next step

/**
 * Signs a first ceiling and, unless it is for the whole day, goes on.
 * @param {Signer} signer
 * @param {bigint} daily most in one UTC day, base units
 * @param {boolean} whole sign all of it now
 * @param {function(unknown): void} failed is told of an error that ends the signing later on
 */
export async function allowSpending(signer, daily, whole, failed) {
  stopSigning();
  if (!(await step(signer, daily, { whole })) || whole) return;
  later(signer, daily, failed);
  document.getElementById("stop-signing").hidden = false;
}

/** Signs no further ceiling. */
export function stopSigning() {
  clearTimeout(signing);
  signing = null;
  const button = document.getElementById("stop-signing");
  if (button) button.hidden = true;
}

// A router that is away for a moment does not end what the page was left open for; `away` says that it was.
function later(signer, daily, failed, away = false) {
  const mine = setTimeout(async () => {
    let [goesOn, silent] = [true, false];
    try {
      goesOn = await step(signer, daily, { speak: away });
    } catch (error) {
      silent = error instanceof Unanswered;
      goesOn = silent;
      if (silent) say(`${error.message} This page goes on trying.`);
      else failed(error);
    }
    if (signing !== mine) return;
    if (goesOn) later(signer, daily, failed, silent);
    else stopSigning();
  }, STEP_MS);
  signing = mine;
}

/** Signs what is needed now, and says so; false if the owner says that the router's sum is wrong. */
async function step(signer, daily, { whole = false, speak = true }) {
  const headers = { "x-vibes-account": `${signer.idx}` };
  const account = await ask("/v1/account", { headers });
  const ceiling = next(signer, account, daily, whole);
  if (ceiling === undefined) return false;
  if (ceiling) await ask("/v1/account/ceiling", { body: ceiling, headers });
  if (ceiling || speak) {
    const allowed = BigInt(ceiling?.ceiling_base ?? account.ceiling_base) - BigInt(account.spent_base);
    const after = whole ? "You can close this page." : "Further steps are signed while this page is open.";
    say(`The session key allows ${vibes(allowed)} VIBES more. ${after}`);
  }
  return true;
}

/** The ceiling to sign, null if none is needed, undefined if the owner does not agree. */
function next(signer, account, daily, whole) {
  try {
    return signer.next(account, daily, { whole });
  } catch (error) {
    if (!(error instanceof EarlierKey)) throw error;
    const words = `The router says that ${vibes(error.spent)} VIBES were spent with an earlier key. Is that right?`;
    if (!window.confirm(words)) return undefined;
    return signer.next(account, daily, { whole, agreed: error.spent });
  }
}
