// A deposit that the router sends. Until its end is known it is the one that is sent again: who tries again after an
// answer was lost makes no second deposit.

import { Refused, Unanswered, ask } from "./wallet.js";

const POLL_MS = 3_000;
let unfinished = null;

/**
 * @param {bigint} amount base units
 * @param {number} now unix seconds, as the chain has it
 * @returns {?object} the signed deposit of this amount whose end is not known, null if none can still be executed
 */
export function again(amount, now) {
  return unfinished?.amount_base === `${amount}` && now < unfinished.valid_before_s ? unfinished : null;
}

/**
 * Has the router send a signed deposit, and waits for the chain.
 * @param {object} signed as POST /v1/deposits takes it
 * @param {function(string): void} say is told what goes on
 */
export async function relay(signed, say) {
  unfinished = signed;
  try {
    let told = await ask("/v1/deposits", { body: signed });
    while (told.state === "sent") {
      say(`Sent as ${told.tx_hash}. Waiting for the chain; you can close this page …`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      told = await ask(`/v1/deposits/${told.deposit}`);
    }
    if (told.state !== "settled") throw new Refused("The chain refused the deposit; nothing moved. Sign anew.");
    unfinished = null;
  } catch (error) {
    if (!(error instanceof Unanswered)) unfinished = null;
    throw error;
  }
}
