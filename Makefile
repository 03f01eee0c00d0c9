# The commands of the README. Each sets up .venv by itself when it is missing or out of date.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint lab bench wheel clean

demo: $(STAMP)
	@$(BIN)/tes-nb demo

test: $(STAMP) lint
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lab: $(STAMP)
	@$(BIN)/tes-nb lab

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

wheel: $(STAMP)
	@rm -rf dist && $(BIN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) dist out

$(STAMP): pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" bash scripts/setup.sh "$(VENV)"
	@touch $(STAMP)
