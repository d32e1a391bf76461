"use strict";
// The second local chain: `npm run node --prefix hardhat-local` serves chain id 31338 at 127.0.0.1:8545.
// Hardhat takes sources from below its own folder only, hence the link `contracts`; the compiler that it would
// download is here already, from npm.
const path = require("path");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");
const { version } = require("solc/package.json");

const build = path.join(__dirname, "..", "build");

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async ({ solcVersion }) => ({
  compilerPath: require.resolve("solc/soljson.js"),
  isSolcJs: true,
  version: solcVersion,
  longVersion: require("solc").version(),
}));

module.exports = {
  solidity: { version, settings: { evmVersion: "shanghai", optimizer: { enabled: true, runs: 200 } } },
  paths: {
    sources: path.join(__dirname, "contracts"),
    cache: path.join(build, "hardhat-cache"),
    artifacts: path.join(build, "hardhat-artifacts"),
  },
  networks: { hardhat: { chainId: 31338, hardfork: "shanghai" } },
};
