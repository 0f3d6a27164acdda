# Trimtab. `make help` prints itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev

.DEFAULT_GOAL := help
.PHONY: help run up test check format bench clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 18

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Trimtab into $(VENV) (first time only) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(DEV_READY): $(READY)
	@echo "Installing what the tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(READY) ## the main job: server, UI and a sample application, with one bad change on its way
	@$(BIN)/trimtab demo

up: $(READY) ## the server alone, on an empty store
	@$(BIN)/trimtab up

test: $(DEV_READY) ## everything: style, types, imports, house rules, tests, browser
	@PATH="$(abspath $(BIN)):$$PATH" scripts/test

check: $(DEV_READY) ## the quick part of it: style, types, imports, house rules, docs
	@PATH="$(abspath $(BIN)):$$PATH" scripts/check

format: $(DEV_READY) ## put the code into shape
	@$(BIN)/ruff check --fix src tests bench && $(BIN)/ruff format src tests bench

bench: $(DEV_READY) ## the baseline figures, into bench/results
	@PATH="$(abspath $(BIN)):$$PATH" scripts/bench

clean: ## remove the environment and what the demo stored
	rm -rf $(VENV) trimtab-data
