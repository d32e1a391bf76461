// How far a session key signs: in small steps ahead of need, and within one UTC day up to a limit above what was spent
// when the day began. What the day began with is remembered in this browser, so that a reload begins no new day.
// docs/mini-llm/wallet.md says the same of the SDK, which checks receipts too.

import { commitment, settlementDomain, signCeiling } from "./session_key.js";
import { Refused } from "./wallet.js";

/** Most that one signature allows beyond what is spent and running: one US dollar at par, base units. */
export const STEP_BASE = 100_000_000n;
const DAY_MS = 86_400_000;

/** What was spent was signed for by an earlier key; its owner says whether the sum is right. */
export class EarlierKey extends Error {
  constructor(spent) {
    super("an earlier key signed for what was spent");
    this.spent = spent;
  }
}

/** One account's session key at work. The secret lives in this object only. */
export class Signer {
  #secret;
  #name;

  /**
   * @param {bigint} secret
   * @param {{chain_id: number, settlement: string}} place
   * @param {number} idx account
   */
  constructor(secret, place, idx) {
    this.#secret = secret;
    this.commit = commitment(secret);
    this.domain = settlementDomain(place.chain_id, place.settlement);
    this.idx = idx;
    this.#name = `vibes day ${place.chain_id} ${place.settlement.toLowerCase()} ${idx}`;
  }

  /**
   * The ceiling to sign now, or null if the present one does.
   * @param {object} account as GET /v1/account tells; believed up to what this key has signed
   * @param {bigint} daily most in one UTC day, base units
   * @param {{whole: boolean, agreed: ?bigint}} choice `whole` signs all of the day's limit at once; `agreed` is what
   *   the owner agrees was spent with an earlier key
   */
  next(account, daily, { whole = false, agreed = null } = {}) {
    const spent = BigInt(account.spent_base);
    const ceiling = this.#known(account.signed_ceiling, spent, agreed);
    const limit = this.#dayBegan(spent) + daily;
    const taken = spent + BigInt(account.reserved_base) + BigInt(account.withdraw_requested_base);
    const wanted = whole || taken + STEP_BASE > limit ? limit : taken + STEP_BASE;
    return wanted > ceiling ? signCeiling(this.#secret, this.domain, this.idx, wanted) : null;
  }

  // The ceiling in force. Signatures are deterministic: one that this key made is one that it makes again. What an
  // earlier key signed cannot be checked here, so its owner is asked whether the sum is right.
  #known(told, spent, agreed) {
    const ceiling = BigInt(told?.ceiling_base ?? 0);
    const own = signCeiling(this.#secret, this.domain, this.idx, ceiling);
    const same = (name) => `${told[name]}` === `${own[name]}`;
    if (told && same("key")) {
      if (!same("r8") || !same("s")) throw new Refused("The router shows a ceiling that this key did not sign.");
    } else if (spent > 0n && agreed !== spent) {
      throw new EarlierKey(spent);
    }
    if (spent > ceiling) {
      throw new Refused("The router says that more was spent than was ever signed for. Nothing is signed.");
    }
    return told && same("key") ? ceiling : 0n;
  }

  #dayBegan(spent) {
    const day = Math.floor(Date.now() / DAY_MS);
    const kept = JSON.parse(localStorage.getItem(this.#name) ?? "null");
    if (kept && kept.day >= day) return BigInt(kept.spent);
    localStorage.setItem(this.#name, JSON.stringify({ day, spent: `${spent}` }));
    return spent;
  }
}
