# What a person runs. `make setup` is called by the others when it is needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NODE   := $(VENV)/node
NPM_QUIETLY := --no-package-lock --no-audit --no-fund --ignore-scripts --silent
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help setup demo up test tests checked check bench soak clean

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP) ## install into .venv (quick when nothing changed)

$(STAMP): pyproject.toml constraints.txt tests/contracts/package.json
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing (two or three minutes the first time) ..."
	@$(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m compileall -q clash_pipeline assets jobs sensors resources
	@$(BIN)/python -c 'import clash_pipeline.definitions, dagster_webserver.app' # compiles what is used: a seventh of it
	@mkdir -p $(NODE) && cp tests/contracts/package.json $(NODE)/
	@if command -v npm >/dev/null; then cd $(NODE) && npm install $(NPM_QUIETLY) || echo "without the Solidity compiler and anvil: their tests are skipped"; fi
	@touch $@

demo: setup ## the whole way on replayed venues, in a few minutes (RECORDINGS=DIR for real ones)
	@$(BIN)/clash demo $(if $(RECORDINGS),--recordings $(RECORDINGS))

up: setup ## ingester, API, Dagster and its web page against the live venues, until Ctrl-C
	@$(BIN)/clash up

test: setup ## static care beside every test; either can fail it
	@$(MAKE) --no-print-directory --keep-going -j2 checked tests

tests:
	@$(BIN)/python -m pytest -q -n $${TEST_WORKERS:-2} --dist worksteal

checked: # says nothing until it is through, so that what it finds stands together
	@found=$$($(MAKE) --no-print-directory check 2>&1) || { printf '\nmake check:\n%s\n' "$$found"; exit 1; }

check: setup ## format, lint, types, import contracts
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

bench: setup ## ours, the peers' and the floor's figures side by side (extras are installed first)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@$(BIN)/python -m bench

soak: setup ## the goals at full size (hours; an extra is installed first)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[soak]'
	@CLASH_SOAK=1 $(BIN)/python -m pytest -q --timeout 14400

clean: ## remove the environment and the caches, never data
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
