// Golden vectors from an outside implementation: circomlibjs and js-sha3, no code that the vectors test.
// `node hardhat-local/golden.cjs` writes tests/golden/*.json, `--check` fails if they differ from what it would write.
// Python, circuits and contracts are tested against these files. Numbers are decimal strings, bytes 0x-hex.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const {
  P, ARITY, LEVELS, MAX_AMOUNT, MAX_BALANCE, MAX_IDX, lib, load, base8, mul, add, fromPoint, draw, word,
  keccak, hex, expand, sign, domainOf, signCeiling, emptyNode, children, leafOf, treeRoot, encodeSlot, slotOf,
  bind, batch, receiptsVector,
} = require("./golden-model.cjs");

const FOLDER = path.join(__dirname, "..", "tests", "golden");

function poseidonVectors() {
  const lists = [[0n], [P - 1n], [1n, 2n], Array(12).fill(P - 1n)];
  for (let count = 1; count <= 12; count++) {
    lists.push(Array.from({ length: count }, (_, i) => draw(`poseidon ${count} ${i}`, P)));
  }
  return lists.map((inputs) => ({ inputs, hash: lib.poseidon(inputs) }));
}

function babyjubVectors() {
  const order = lib.babyJub.subOrder;
  const b = base8();
  const order8 = mul(fromPoint(lib.babyJub.Generator), order);
  const smallOrder = Array.from({ length: 8 }, (_, i) => mul(order8, BigInt(i)));
  const some = [1, 2, 3].map((i) => mul(b, draw(`point ${i}`, order)));
  const outside = add(some[0], order8); // on the curve, not in the subgroup, not of small order
  const pairs = [[some[0], some[1]], [some[2], some[2]], [some[0], [0n, 1n]], [some[1], [P - some[1][0], some[1][1]]],
    [outside, some[0]], [order8, order8]];
  const scalars = [0n, 1n, 2n, 8n, order - 1n, order, draw("scalar", order), 2n ** 254n - 1n];
  return {
    base8: b,
    suborder: order,
    add: pairs.map(([left, right]) => ({ left, right, sum: add(left, right) })),
    mul: [b, some[0], outside].flatMap((point) =>
      scalars.map((scalar) => ({ point, scalar, product: mul(point, scalar) }))),
    small_order: smallOrder,
    not_small_order: [...some, outside],
    off_curve: [[0n, 0n], [1n, 1n], [b[0], b[1] + 1n], [b[1], b[0]]],
  };
}

function eddsaVectors() {
  const messages = [0n, 1n, P - 1n, draw("message", P)];
  const stock = messages.map((message, i) => {
    const seed = keccak(Buffer.from(`seed ${i}`));
    const { R8, S } = lib.eddsa.signPoseidon(seed, lib.F.e(message));
    return { message, key: fromPoint(lib.eddsa.prv2pub(seed)), r8: fromPoint(R8), s: S };
  });
  const order = lib.babyJub.subOrder;
  const secrets = [1n, order - 1n, draw("secret 2", order), draw("secret 3", order)];
  return { circomlibjs: stock, deterministic: secrets.map((secret, i) => sign(secret, messages[i])) };
}

function ceilingVectors() {
  const places = [[31337n, "0x5FbDB2315678afecb367f032d93F642f64180aa3"],
    [80002n, "0xffffffffffffffffffffffffffffffffffffffff"]];
  const domains = places.map(([chain_id, settlement]) =>
    ({ chain_id, settlement, domain: domainOf(chain_id, settlement) }));
  const order = lib.babyJub.subOrder;
  const secret = draw("ceiling secret", order);
  const limits = [[1n, 0n], [1n, 10n ** 8n], [MAX_IDX, MAX_BALANCE]];
  const walletSignature = Buffer.concat([keccak(Buffer.from("r")), keccak(Buffer.from("s")), Buffer.from([27])]);
  const seed = Buffer.concat([Buffer.from("VIBES session key"), walletSignature.subarray(0, 64)]);
  return {
    domains,
    key_commitments: [1n, secret].map((value) => mul(base8(), value))
      .map((key) => ({ key, key_commit: lib.poseidon(key) })),
    ceilings: domains.flatMap(({ domain }) =>
      limits.map(([idx, limit]) => signCeiling(secret, domain, idx, limit))),
    session_secret: { wallet_signature: hex(walletSignature), secret: 1n + (expand(seed) % (order - 1n)) },
  };
}

function treeVectors() {
  const accounts = new Map([1n, 2n, 8n, 9n, 4096n, MAX_IDX].map((idx) => [idx, {
    key_commit: draw(`key ${idx}`, P),
    balance: draw(`balance ${idx}`, MAX_BALANCE),
    spent: draw(`spent ${idx}`, MAX_BALANCE),
  }]));
  const leaves = new Map([...accounts].map(([idx, a]) => [idx, leafOf(a)]));
  const pathOf = (idx) => Array.from({ length: LEVELS }, (_, level) =>
    children(leaves, level + 1, idx / ARITY ** BigInt(level + 1)));
  return {
    empty_nodes: Array.from({ length: LEVELS + 1 }, (_, level) => emptyNode(level)),
    genesis_root: emptyNode(LEVELS),
    leaves: [...accounts].map(([idx, a]) => ({ idx, ...a, leaf: leafOf(a) })),
    root: treeRoot(accounts),
    paths: [0n, 9n, MAX_IDX].map((idx) => ({ idx, children: pathOf(idx) })),
  };
}

function batchVectors() {
  const slots = [
    { idx: 1n }, { idx: MAX_IDX }, { idx: 1n, charge: 1n }, { idx: 1n, reward: 1n }, { idx: 1n, deposit: 1n },
    { idx: 1n, withdraw: 1n }, { idx: 1n, drain: true }, { idx: 1n, key_commit: P - 1n },
    { idx: MAX_IDX, charge: MAX_AMOUNT, reward: MAX_AMOUNT, deposit: MAX_AMOUNT, withdraw: MAX_AMOUNT, drain: true },
    { idx: 2n, charge: 3n, reward: 5n, deposit: 7n, withdraw: 11n, key_commit: 13n },
  ].map(slotOf);
  const bound = [4, 10, 40].map((size) => {
    const words = Array.from({ length: 3 + 2 * size }, (_, i) => draw(`word ${size} ${i}`, P));
    return { batch_number: BigInt(size), words, ...bind(BigInt(size), words) };
  });
  const partners = [[0n, 1n], [1n, 12345n], [2n ** 16n - 1n, MAX_BALANCE]];
  return {
    slots: slots.map((slot) => ({ ...slot, ...encodeSlot(slot) })),
    bound,
    partner_words: partners.map(([id, gross]) => ({ partner_id: id, gross_base: gross, word: id * 2n ** 64n + gross })),
  };
}

// Open, reward, deposit, re-key, withdraw and drain over three batches of two sizes.
function transitionVectors() {
  const domain = domainOf(31337n, "0x5FbDB2315678afecb367f032d93F642f64180aa3");
  const secrets = [1, 2, 3, 4].map((i) => draw(`session ${i}`, lib.babyJub.subOrder));
  const keys = secrets.map((secret) => lib.poseidon(mul(base8(), secret)));
  const accounts = new Map();
  const ceiling = (secret, idx, limit) => signCeiling(secret, domain, idx, limit);
  const run = (number, n, slots, ceilings) => batch(number, n, domain, accounts, slots.map(slotOf), ceilings);
  const batches = [
    run(1n, 4, [
      { idx: 1n, charge: 40n, deposit: 1000n, key_commit: keys[0] },
      { idx: 2n, deposit: 500n, key_commit: keys[1] },
      { idx: MAX_IDX, charge: 1n, deposit: MAX_AMOUNT, key_commit: keys[2] },
    ], [ceiling(secrets[0], 1n, 100n), ceiling(secrets[2], MAX_IDX, MAX_BALANCE)]),
    run(2n, 4, [
      { idx: 1n, charge: 60n, reward: 4n, key_commit: keys[3] },
      { idx: 2n, withdraw: 500n, drain: true },
    ], [ceiling(secrets[0], 1n, 100n)]),
    run(3n, 10, [
      { idx: 1n, charge: 10n, withdraw: 894n, drain: true },
      { idx: 2n, deposit: 9n },
      { idx: MAX_IDX },
    ], [ceiling(secrets[3], 1n, 110n)]),
  ];
  return { domain, batches };
}

async function main() {
  await load();
  const files = {
    poseidon: poseidonVectors(), babyjub: babyjubVectors(), eddsa: eddsaVectors(), ceiling: ceilingVectors(),
    tree: treeVectors(), batch: batchVectors(), transition: transitionVectors(),
    receipts: [0, 1, 2, 3, 5, 8].map(receiptsVector),
  };
  const check = process.argv.includes("--check");
  fs.mkdirSync(FOLDER, { recursive: true });
  for (const [name, vectors] of Object.entries(files)) {
    const file = path.join(FOLDER, `${name}.json`);
    const decimal = (_, value) => (typeof value === "bigint" ? value.toString() : value);
    const text = JSON.stringify(vectors, decimal, 1) + "\n";
    if (!check) fs.writeFileSync(file, text);
    else if (fs.readFileSync(file, "utf8") !== text) throw new Error(`${file} is stale: run node ${__filename}`);
  }
}

main().then(() => process.exit(0), (error) => {
  console.error(error.message);
  process.exit(1);
});
