# One root, one command. `make demo` needs the runtime's dependencies only; the rest needs the development ones too.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# A Python that is asked for by name gets an environment of its own: make test PYTHON=python3.12
VENV ?= .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
export PYTHONPATH := src
# Set-up asks for hashes; what an index or a proxy needs comes from the user's own pip configuration.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
UV ?= uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header

.PHONY: help demo test check bench bench-peers soak mutants lock docs faults clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

demo: $(VENV)/runtime.stamp ## simulated venues, an engine that trades them, a live view
	@exec $(BIN)/python -m twinleg demo

test: $(VENV)/dev.stamp ## every test, in random order
	@$(BIN)/python -m pytest -n 2

check: $(VENV)/dev.stamp ## format, lint, strict types, import contracts, house test, tests with warnings as errors
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -n 2

bench: $(VENV)/dev.stamp ## the numbers, medians of interleaved runs
	@$(BIN)/python -m bench

bench-peers: ## NautilusTrader, to compare with, in an environment of its own
	@$(if $(PYTHON),$(PYTHON),python3.11) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check nautilus_trader==1.221.0 msgspec

soak: $(VENV)/dev.stamp ## long runs: every decoder fuzzed, memory watched, 10,000 seeds of the fault simulator
	@$(BIN)/python -m pytest -n 2 -m soak --timeout 0

mutants: $(VENV)/dev.stamp ## break the product on purpose, line by line: the tests must see it
	@$(BIN)/python tests/mutants.py

lock: ## resolve the requirements anew, for every supported Python and platform (needs uv)
	@$(LOCK) pyproject.toml --output-file requirements.txt
	@$(LOCK) pyproject.toml --extra dev --constraint requirements.txt --output-file requirements-dev.txt

faults: $(VENV)/runtime.stamp ## write docs/FAULTS.md anew: 400 seeds of the fault simulator, about a minute
	@$(BIN)/python -m twinleg_selftest --faults-page --jobs 2 > docs/FAULTS.md

docs: $(VENV)/runtime.stamp ## write .env.example and docs/SETTINGS.md from the settings
	@$(BIN)/python -m twinleg.runtime.settings_docs env > .env.example
	@$(BIN)/python -m twinleg.runtime.settings_docs page > docs/SETTINGS.md

clean: ## remove the virtual environment and all caches
	@rm -rf .venv .venv-* .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist

$(VENV)/python.stamp: .ci/venv
	@.ci/venv "$(VENV)" "$(or $(PYTHON),)"
	@touch $@

$(VENV)/runtime.stamp: requirements.txt $(VENV)/python.stamp
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(VENV)/dev.stamp: requirements-dev.txt $(VENV)/python.stamp
	@echo "Installing the locked development dependencies into $(VENV) ..."
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@
