# The commands of the README. Each sets up .venv by itself when it is missing or out of date.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Most tests wait for processes and sockets, so there may be more of them than cores; those that measure time are
# marked `alone`. For one process: make test WORKERS=0
WORKERS ?= 3
PYTEST := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest

.PHONY: demo test retest browser night lint lab bench profile bench-browser kernels screenshots fuzz wheel clean

demo: $(STAMP)
	@$(BIN)/tes-nb demo

test: $(STAMP) lint
	@$(PYTEST) -n $(WORKERS) $(PYTEST_ARGS)

# What failed, once more and alone. `.ci/run` alone uses it (docs/decisions/0024 says until when).
retest: $(STAMP)
	@$(PYTEST) --last-failed --last-failed-no-failures none $(PYTEST_ARGS)

# What tests drive and a new machine lacks: Chromium, tmux, strace and the like.
browser: $(STAMP)
	@scripts/tools.sh $(VENV)

# Kills, damage, full disks, interrupts, forks, renewals by chance; docs/faults.md keeps the counts of long ones.
MINUTES ?= 480
night: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m scripts.night --minutes $(MINUTES) $(NIGHT_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

lab: $(STAMP)
	@$(BIN)/tes-nb lab

bench: $(STAMP)
	@$(BIN)/python -m benchmarks

# Where kernel and collector spend their time at 5,000 messages a second, now and before; needs the repository's history.
profile: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.profile_feed b777982

# What live charts cost JupyterLab in Chromium, beside plotly's.
bench-browser: $(STAMP)
	@$(BIN)/python -m benchmarks browser

# The notebooks on the versions of ipykernel that differ: before subshells, with them, and the newest.
kernels: $(STAMP)
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/kernels.sh $(VENV) 6.31 7.3 7.4

# The pictures of README and docs, in docs/pictures/.
screenshots: $(STAMP)
	@$(BIN)/python -m scripts.screenshots

# A minute per decoder, guided by coverage.
fuzz: $(STAMP)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --group fuzz
	@for target in inflate json xml token nowgoal_text nowgoal_binary nowgoal_inflated; do \
	  $(BIN)/python -m tests.fuzz.run_atheris $$target -max_total_time=60 || exit 1; \
	done

wheel: $(STAMP)
	@rm -rf dist && $(BIN)/python -m build --outdir dist

clean:
	rm -rf $(VENV) .kernels dist out

$(STAMP): pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" bash scripts/setup.sh "$(VENV)"
	@touch $(STAMP)
