#!/usr/bin/env node
"use strict";
// A `solc` command around the wasm compiler of the npm package `solc`: no registry ships the native one.
// It speaks the part that forge, py-solc-x and ape-solidity use:
//   --version
//   --standard-json [FILE|-] [--base-path DIR] [--include-path DIR]... [--allow-paths ...]
const fs = require("fs");
const path = require("path");

/** Loads soljson without its process-wide exception handlers, which would hide our own failures. */
function loadCompiler() {
  const events = ["uncaughtException", "unhandledRejection"];
  const before = new Map(events.map((event) => [event, new Set(process.listeners(event))]));
  const compiler = require("solc");
  for (const event of events) {
    for (const listener of process.listeners(event)) {
      if (!before.get(event).has(listener)) process.removeListener(event, listener);
    }
  }
  return compiler;
}

/** Splits argv into the options we know; unknown flags are an error, so that nothing is silently ignored. */
function parseArguments(argv) {
  const options = { version: false, standardJson: false, input: "-", basePath: "", includePaths: [] };
  const withValue = {
    "--base-path": (value) => (options.basePath = value),
    "--include-path": (value) => options.includePaths.push(value),
    "--allow-paths": () => {}, // the wasm compiler sees only what the import callback below hands out
  };
  for (let i = 0; i < argv.length; i++) {
    const [flag, inline] = argv[i].startsWith("--") ? argv[i].split(/=(.*)/s) : [argv[i]];
    if (flag === "--version") options.version = true;
    else if (flag === "--standard-json") options.standardJson = true;
    else if (flag in withValue) withValue[flag](inline === undefined ? argv[++i] : inline);
    else if (flag.startsWith("--")) throw new Error(`unknown option ${flag}`);
    else options.input = flag;
  }
  return options;
}

/** Finds imported files under the base and include paths, in that order, then in this checkout: ape compiles in
 * a temporary folder to which it copies our sources only. */
function importer({ basePath, includePaths }) {
  const roots = [basePath || ".", ...includePaths, path.join(__dirname, "..")];
  return (name) => {
    const file = name.replace(/^file:\/\//, "");
    const candidates = path.isAbsolute(file) ? [file] : roots.map((root) => path.join(root, file));
    const found = candidates.find((candidate) => fs.existsSync(candidate));
    return found ? { contents: fs.readFileSync(found, "utf8") } : { error: `File not found: ${name}` };
  };
}

function main(argv) {
  const options = parseArguments(argv);
  const compiler = loadCompiler();
  if (options.version) {
    return `solc, the solidity compiler commandline interface\nVersion: ${compiler.version()}\n`;
  }
  if (!options.standardJson) throw new Error("use --version or --standard-json");
  const input = fs.readFileSync(options.input === "-" ? 0 : options.input, "utf8");
  return compiler.compile(input, { import: importer(options) }) + "\n";
}

try {
  process.stdout.write(main(process.argv.slice(2)), () => process.exit(0));
} catch (error) {
  process.stderr.write(`solc.cjs: ${error.message}\n`);
  process.exit(1);
}
