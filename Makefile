# Everything starts here: `make demo` and `make test` need Python >= 3.11, make, and a network to
# the package index; nothing else. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
# Install exactly the versions that were tested: make test CONSTRAINTS=constraints.txt
CONSTRAINTS ?=

BIN := $(VENV)/bin
# -qq: errors only
INSTALL := -m pip install -qq --disable-pip-version-check --no-input
PINNED := $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
LOCK := build/lock

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check lint types imports bench lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## the main job, end to end, on an S3 server and a cluster of its own
	@$(BIN)/dsm demo

# Two processes: a file's tests stay in one, as they share a cluster or a server. Files are in the
# order of tests/conftest.py.
test: $(VENV)/.test  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: lint types imports  ## everything that CI checks besides the tests

lint: $(VENV)/.dev  ## style and likely mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## static types
	$(BIN)/mypy

imports: $(VENV)/.dev  ## which part may import which
	$(BIN)/lint-imports

bench: $(VENV)/.bench  ## every benchmark; figures go to benchmarks/results
	@for script in benchmarks/*.py; do \
	  echo "== $$script"; $(BIN)/python "$$script" || exit 1; \
	done

# ---------------------------------------------------------------------------- installing
# One stamp for each set of extras: installed once, and again when pyproject.toml changes.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This needs Python 3.11 or newer, and '$(PYTHON)' is not:" \
	    "$$($(PYTHON) --version 2>&1)." \
	    "Name another one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its ensurepip is missing." \
	    "On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo $(VENV)/.test $(VENV)/.bench $(VENV)/.dev: $(VENV)/.%: $(VENV)/.made pyproject.toml
	@echo "Installing dsm-dask[$*] into $(VENV) ..."
	@$(BIN)/python $(INSTALL) $(PINNED) -e '.[$*]'
	@touch $@

lock: $(VENV)/.made  ## write constraints.txt anew: the newest versions that fit together
	@rm -rf $(LOCK) && mkdir -p $(LOCK)
	@$(BIN)/python -m venv $(LOCK)/venv
	@echo "Resolving dsm-dask[dev,dashboard] afresh ..."
	@$(LOCK)/venv/bin/python $(INSTALL) -e '.[dev,dashboard]'
	@$(LOCK)/venv/bin/python -m pip freeze --exclude-editable > $(LOCK)/freeze
	@if grep -vE '^[A-Za-z0-9._-]+==[^ @/]+$$' $(LOCK)/freeze; then \
	  echo "These are not plain name==version; constraints.txt is unchanged." >&2; exit 1; \
	fi
	@mv $(LOCK)/freeze constraints.txt
	@rm -rf $(LOCK)
	@echo "constraints.txt: $$(wc -l < constraints.txt) packages"

clean:  ## remove all that make made, the virtual environment too
	rm -rf $(VENV) build dist demo-out .pytest_cache .hypothesis .mypy_cache .ruff_cache \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
