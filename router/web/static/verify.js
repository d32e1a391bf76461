// What can be checked of a partner's figures with nothing but a node: each check says what it is about, and the two
// values that have to be one. The checks go on after one that fails.

import { word } from "./abi.js";
import { Malformed, readBundle } from "./receipts_tree.js";
import { Unreadable } from "./settlement.js";

const BPS = 10_000n;
const AT_ONCE = 8; // batches asked for together

/**
 * @typedef {{says: string, one: string, other: string, holds: boolean}} Check
 * `one` is what the first half of the sentence comes to, `other` the second.
 */

/**
 * Checks one batch of a partner: the transaction on the chain, and the bundle against it.
 * @param {import("./settlement.js").Settlement} settlement
 * @param {{chain: number, partner: number, batch: number, transaction: string, block: number, gross: bigint}} told by
 *   the page
 * @param {AsyncIterable<string>} lines of the bundle
 * @returns {AsyncGenerator<Check>}
 * @throws {Unreadable} node or router did not give what is to be checked
 */
export async function* verifyBatch(settlement, told, lines) {
  yield* guarded(`batch ${told.batch}`, batchChecks(settlement, told, lines));
}

/**
 * Checks a partner's account: all its batches, the share of each, what was paid and what can be claimed.
 * @param {import("./settlement.js").Settlement} settlement
 * @param {{chain: number, partner: number, block: number, gross: bigint, bps: bigint, paid: bigint, claimable: bigint,
 *   payout: string}} told by the page, as of a block; until something is settled the share is the registry's
 * @param {Array<{batch: number, transaction: string, block: number, log: number, gross: bigint}>} batches of the
 *   partner, in order
 * @returns {AsyncGenerator<Check>}
 * @throws {Unreadable} the node did not give what is to be checked
 */
export async function* verifyAccount(settlement, told, batches) {
  yield* guarded(`partner ${told.partner}`, accountChecks(settlement, told, batches));
}

async function* batchChecks(settlement, told, lines) {
  if (!(yield* onChain(settlement, told))) return;
  const found = await settlement.batch(told);
  const from = found ? told.batch : "no such batch";
  yield check(`Transaction ${told.transaction} settled the batch`, told.batch, from);
  if (!found) return;
  const { header, settled, charges, partners } = found;
  yield check("Its calldata and its event name one receipts root", word(header.receiptsRoot), word(settled.receiptsRoot));
  yield check("Its calldata and its event name one new root", word(header.newRoot), word(settled.newRoot));
  yield check("What accounts were charged is the total of the receipts", charges, header.receiptsTotal);
  const credits = sum([...partners.values()]);
  yield check("What accounts were charged is what partners are credited", charges, credits);
  yield check("What accounts were charged is what the event says", charges, settled.gross);
  const credited = partners.get(told.partner) ?? 0n;
  yield check("The chain credits this partner what the page says", credited, told.gross);

  const bundle = await readBundle(lines);
  const { head } = bundle;
  const about = `chain ${told.chain}, ${settlement.address}, batch ${told.batch}, partner ${told.partner}`;
  const claimed = `chain ${head.chain_id}, ${lower(head.settlement)}, batch ${head.batch}, partner ${head.partner}`;
  yield check("The bundle is about this batch and this partner", about, claimed);
  const count = `${bundle.receipts} receipt${bundle.receipts === 1 ? "" : "s"}`;
  yield check(`The tree with the partner's ${count} has the root on the chain`, bundle.root, word(header.receiptsRoot));
  yield check("The sum of that tree is the total on the chain", bundle.total, header.receiptsTotal);
  yield check(`The partner's ${count} come to what the chain credits`, bundle.gross, credited);
}

async function* accountChecks(settlement, told, batches) {
  if (!(yield* onChain(settlement, told))) return;
  const settled = batches.filter((batch) => batch.block <= told.block);
  yield* creditChecks(settlement, told, settled);

  const account = await settlement.partnerAccount(told.partner, told.block);
  yield check("The batches come to the contract's own sum: none is missing", sum(grosses(settled)), account.gross);
  const logs = await settlement.partnerLogs(told.partner, told.block);
  yield* termsChecks(account, logs, settled);

  const earned = account.accrued + share(account.gross - account.checkpointGross, account.bps);
  const paid = sum(logs.filter((log) => log.kind === "claim").map((log) => log.amount));
  yield check("The payouts in the log come to what the contract counts as paid", paid, account.paid);
  const claimable = await settlement.claimable(told.partner, told.block);
  yield check("Earned less paid is what the contract would pay now", earned - account.paid, claimable);

  yield check("The page's gross is the contract's", told.gross, account.gross);
  yield check("The page's paid sum is the contract's", told.paid, account.paid);
  yield check("The page's claimable sum is the contract's", told.claimable, claimable);
  const terms = await settlement.terms(told.partner, told.block);
  const bps = account.gross ? account.bps : terms.bps;
  yield check("The page's share is the contract's", percent(told.bps), percent(bps));
  yield check("The page's payout address is the registry's", lower(told.payout), terms.payout);
}

async function* onChain(settlement, told) {
  const found = await settlement.chainId();
  yield check("The node is on the chain of this page", told.chain, found);
  return found === told.chain;
}

// One line for all of them, or one for each that differs.
async function* creditChecks(settlement, told, batches) {
  let good = 0;
  for (let at = 0; at < batches.length; at += AT_ONCE) {
    const some = batches.slice(at, at + AT_ONCE);
    const settled = await Promise.all(some.map((batch) => settlement.batch(batch)));
    for (const [i, batch] of some.entries()) {
      const credited = settled[i] ? (settled[i].partners.get(told.partner) ?? 0n) : "no such batch";
      if (credited === batch.gross) good += 1;
      else yield check(`Batch ${batch.batch} credits the partner what the page says`, batch.gross, credited);
    }
  }
  yield check("Batches that credit the partner what the page says", batches.length, good);
}

// The share is floored on the gross since the terms last changed; a change fixes what was earned before it.
async function* termsChecks(account, logs, batches) {
  let now = { bps: 0n, checkpointGross: 0n, accrued: 0n };
  for (const log of logs.filter((one) => one.kind === "terms")) {
    const before = batches.filter((batch) => batch.block < log.block || (batch.block === log.block && batch.log < log.index));
    const gross = sum(grosses(before));
    const accrued = now.accrued + share(gross - now.checkpointGross, now.bps);
    const at = `When ${percent(log.bps)} were applied in block ${log.block},`;
    yield check(`${at} so much had been settled`, gross, log.checkpointGross);
    yield check(`${at} so much had been earned`, accrued, log.accrued);
    now = log;
  }
  yield check("The share since then is the contract's", percent(now.bps), percent(account.bps));
  yield check("What was earned before is the contract's", now.accrued, account.accrued);
  yield check("What had been settled before is the contract's", now.checkpointGross, account.checkpointGross);
}

// What is not as it has to be is the last of the checks. What could not be read says nothing about the figures: that
// is for the caller to tell.
async function* guarded(subject, checks) {
  try {
    yield* checks;
  } catch (error) {
    if (error instanceof Unreadable) throw error;
    const other = error instanceof Malformed ? error.message : `${error}`;
    yield { says: `The checks of ${subject} could be finished`, one: "yes", other, holds: false };
  }
}

function check(says, one, other) {
  return { says, one: String(one), other: String(other), holds: one === other };
}

function share(gross, bps) {
  return (gross * bps) / BPS;
}

function sum(amounts) {
  return amounts.reduce((total, amount) => total + amount, 0n);
}

function grosses(batches) {
  return batches.map((batch) => batch.gross);
}

function percent(bps) {
  return `${bps / 100n}.${String(bps % 100n).padStart(2, "0")} %`;
}

function lower(text) {
  return String(text).toLowerCase();
}
