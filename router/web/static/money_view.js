// What the money page shows of a wallet's account on chain. Text only; nothing here asks or sends.

import { MAX_AMOUNT_BASE, overdue, vibes } from "./account.js";

const DAY_S = 86_400;
const HOUR_S = 3_600;
const at = (id) => document.getElementById(id);

/** Says what goes on, for everybody; what stands there already is not said again. */
export function say(text, focus = false) {
  if (at("said").textContent !== text) at("said").textContent = text;
  if (focus) at("said").focus();
}

/** Shows the account as the chain has it (`holdings`), and the buttons that make sense. */
export function show(held) {
  const texts = {
    "in-wallet": `${vibes(held.wallet)} VIBES`,
    "status-on-chain": held.idx ? `account ${held.idx}, ${held.status}` : "none yet: a first deposit opens it",
    pending: `${vibes(held.pendingDeposit)} VIBES`,
    requested: `${vibes(held.requested)} VIBES`,
    withdrawable: `${vibes(held.withdrawable)} VIBES`,
    "deadline-length": span(held.serviceDeadline),
  };
  for (const [id, text] of Object.entries(texts)) at(id).textContent = text;
  for (const id of ["holdings", "deadline"]) at(id).hidden = false;
  at("unconnected").hidden = true;
  if (at("first")) at("first").hidden = held.idx !== 0;
  showPending(held);
  showRequest(held);
}

/** A moment, unix seconds, in the reader's own time. */
export function when(time) {
  return new Date(time * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function showPending({ pendingDeposit, cancelling, cancelDeadline, now }) {
  const announced = cancelling > 0n;
  const due = announced && cancelDeadline < now;
  at("pending-part").hidden = pendingDeposit === 0n;
  at("announce").hidden = announced;
  at("cancel").hidden = !due;
  if (!announced) {
    at("pending-words").textContent =
      `${vibes(pendingDeposit)} VIBES are in no batch yet. You can announce that you take them back; they count no ` +
      "longer at once, and what no batch takes within the deadline is yours again.";
  } else {
    const until = due ? "Finish it now." : `It can be finished after ${when(cancelDeadline)}.`;
    at("pending-words").textContent = `${vibes(cancelling)} VIBES are announced to be taken back. ${until}`;
  }
}

function showRequest(held) {
  const late = overdue(held);
  at("pay-out").hidden = held.withdrawable === 0n;
  at("freeze").hidden = !late;
  const told = [];
  if (held.withdrawable > 0n) told.push(`${vibes(held.withdrawable)} VIBES are ready to be paid out.`);
  if (held.requested > 0n) {
    const asked = held.requested === MAX_AMOUNT_BASE ? "Everything was" : `${vibes(held.requested)} VIBES were`;
    told.push(`${asked} asked for; the operator has until ${when(held.withdrawDeadline)} to serve it.`);
  }
  if (late) told.push("That time is over: you can freeze the account and leave with all of it.");
  if (held.status === "frozen") told.push("The account is frozen. `vibes exit` pays its balance by a proof.");
  at("request-words").textContent = told.join(" ");
  at("request-words").hidden = told.length === 0;
}

function span(seconds) {
  const [count, unit] = seconds >= DAY_S ? [seconds / DAY_S, "day"] : [seconds / HOUR_S, "hour"];
  return `${Math.floor(count)} ${unit}${Math.floor(count) === 1 ? "" : "s"}`;
}
