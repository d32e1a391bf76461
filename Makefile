# Everything a newcomer needs is `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup circuits demo browser test lint analyse format bench lock clean
.DELETE_ON_ERROR:

# The newest Python for which every dependency has a build. The system's own comes first: distributions build it with
# profile-guided optimisation, what is compiled by hand seldom is.
PYTHON ?= $(shell for v in /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11 /usr/bin/python3 \
	python3.13 python3.12 python3.11 python3; do \
	$$v -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && { echo $$v; exit; }; done)
NPM := npm ci --ignore-scripts --no-audit --no-fund --prefix hardhat-local
BIN := .venv/bin
NODE_BIN := hardhat-local/node_modules
FORGE := $(NODE_BIN)/@foundry-rs/forge-linux-amd64/bin/forge
SOURCES := mini_llm router bridge scripts tests benchmarks
# The tests start hundreds of processes: where the environment forbids bytecode, each would compile all sources again.
BYTECODE := PYTHONDONTWRITEBYTECODE=

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 16

setup: ## install everything into .venv and hardhat-local, build circuits and development keys (once)
	@scripts/check_tools.sh
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(MAKE) --no-print-directory -j2 .venv/.ok $(NODE_BIN)/.ok
	@. hardhat-local/env.sh && $(BIN)/python scripts/build_circuits.py

.venv/.ok: requirements.lock pyproject.toml mini_llm/pyproject.toml
	@echo "setup: Python packages into .venv"
	@$(PYTHON) -m venv .venv || { echo "python venv failed: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --use-pep517 --no-deps --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e ./mini_llm -e .
	@touch $@

$(NODE_BIN)/.ok: hardhat-local/package-lock.json
	@echo "setup: anvil, forge, solc, circom into hardhat-local/node_modules"
	@$(NPM) --loglevel=error
	@touch $@

circuits: setup ## build the circuits for batches of 40 and 80 slots too (about ten minutes, 8 GB of memory)
	@. hardhat-local/env.sh && $(BIN)/python scripts/build_circuits.py --sizes 4,10,40,80

demo: setup ## deposit, 60 paid calls, two proved batches, payouts and an audit on a local chain (LIVE=1: your own model server)
	@. hardhat-local/env.sh && LIVE=$(LIVE) $(BIN)/python scripts/demo.py

browser:
	@scripts/browser.sh

test: browser setup ## all tests: forge, unit, property, circuits, integration, end to end
	@. hardhat-local/env.sh && $(FORGE) test
	@. hardhat-local/env.sh && $(FORGE) snapshot --check --match-contract SettlementGasTest
	@. hardhat-local/env.sh && $(BYTECODE) $(BIN)/python -m pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup ## ruff, mypy, import rules, forge fmt, money lint, golden vectors up to date
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@MYPYPATH=scripts $(BIN)/mypy mini_llm router bridge scripts/*.py benchmarks/*.py
	@$(BIN)/lint-imports
	@$(FORGE) fmt --check contracts/src contracts/test
	@$(BIN)/python scripts/lint_house_rules.py
	@node hardhat-local/golden.cjs --check

analyse: setup ## slither and halmos on the contracts, in an environment of their own
	@. hardhat-local/env.sh && PYTHONPATH=scripts $(BIN)/python scripts/analyse_contracts.py

format: setup ## rewrite Python and Solidity in the project's format
	@$(BIN)/ruff check --fix $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)
	@$(FORGE) fmt contracts/src contracts/test

bench: setup ## seconds, memory, gas and money per batch, snarkjs beside it: JSON and a table (BENCH_ARGS="--sizes 4,10,40,80")
	@. hardhat-local/env.sh && PYTHONPATH=scripts $(BIN)/python benchmarks/settlement.py $(BENCH_ARGS)

lock: ## write requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --no-header --no-emit-package mini-llm --quiet -o requirements.lock

clean: ## remove what setup, demo and test made
	rm -rf .venv build hardhat-local/node_modules contracts/src/generated *.egg-info mini_llm/*.egg-info mini_llm/build
