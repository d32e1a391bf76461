// Keeps the operator's live page up to date. Everything is written as text, never as markup.

const RETRY_MS = 3000;
const connection = document.getElementById("connection");
let source = null;

/** Reads the stream while the page is looked at. */
function open() {
  if (source !== null || document.hidden) return;
  source = new EventSource("/operator/live");
  source.addEventListener("message", ({ data }) => {
    say("");
    show(JSON.parse(data));
  });
  source.addEventListener("end", () => {
    close();
    say("Your session has ended: load the page again to sign in.");
  });
  source.addEventListener("error", () => {
    say("The router cannot be reached; these figures are old. Trying again …");
    // a refusal, unlike a lost connection, is not tried again by the browser itself
    if (source?.readyState === EventSource.CLOSED) {
      close();
      setTimeout(open, RETRY_MS);
    }
  });
}

function close() {
  source?.close();
  source = null;
}

function say(text) {
  if (connection.textContent !== text) connection.textContent = text;
}

/**
 * Shows what the stream told.
 * @param {{at: string, figures: Object<string, string>, tables: Object<string, Array>, alerts: Array}} told
 */
function show({ at, figures, tables, alerts }) {
  write(document.getElementById("at"), `As of ${at}`);
  for (const element of document.querySelectorAll("[data-figure]")) {
    write(element, figures[element.dataset.figure] ?? "");
  }
  for (const body of document.querySelectorAll("[data-rows]")) {
    fill(body, tables[body.dataset.rows] ?? []);
  }
  const list = document.getElementById("alerts");
  const text = JSON.stringify(alerts);
  if (list.dataset.shown !== text) {
    list.dataset.shown = text;
    list.replaceChildren(...(alerts.length ? alerts.map(alerted) : [calm()]));
  }
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function fill(body, rows) {
  const text = JSON.stringify(rows);
  if (body.dataset.shown === text) return;
  body.dataset.shown = text;
  const columns = [...body.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  const words = Number(body.dataset.words);
  body.replaceChildren(...(rows.length ? rows.map((row) => line(row, words, columns)) : [none(body)]));
}

function line({ cells, tone }, words, columns) {
  const row = make("tr", "", tone);
  cells.forEach((text, at) => {
    const cell = make(at === 0 ? "th" : "td", text, at >= words ? "number" : "");
    if (at === 0) cell.scope = "row";
    else cell.dataset.label = columns[at]; // named beside each cell where a row is a card
    row.append(cell);
  });
  return row;
}

function none(body) {
  const row = make("tr");
  const cell = make("td", body.dataset.empty, "note");
  cell.colSpan = body.closest("table").tHead.rows[0].cells.length;
  row.append(cell);
  return row;
}

function alerted({ tone, source: from, what, todo }) {
  const item = make("li", "", tone);
  item.append(make("strong", what), " ", make("span", from, "badge"), make("p", todo));
  return item;
}

function calm() {
  const item = make("li", "", "good");
  item.append(make("strong", "Nothing is wrong."));
  return item;
}

function make(name, text = "", kind = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
open();
