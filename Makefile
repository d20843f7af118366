# From nothing to an assistant, and the checks on the way. `make` alone lists what there is.
#
# The packages live in .venv. A stamp is written once an install has gone through, so that the next call installs
# nothing; a change of pyproject.toml or constraints.txt makes it stale. Kept to what GNU Make 3.81 (macOS) knows.

PYTHON ?= python3
ARGS ?=
# Processes that share the tests; a file stays with one of them.
WORKERS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help venv quickstart test check bench clean
.DEFAULT_GOAL := help
# Two installs into one .venv at once would spoil it.
.NOTPARALLEL:

help:
	@echo "make quickstart   build an assistant from raw text and write its report    ARGS='-o key=value'"
	@echo "make venv         install everything into .venv (the other targets do it as needed)"
	@echo "make check        style, types and import layers"
	@echo "make test         the tests                                                ARGS='tests/model -k rope'"
	@echo "make bench        the timings of benchmarks/                               ARGS=..."
	@echo "make clean        remove .venv, caches and build output; runs/ stays"
	@echo
	@echo "PYTHON=python3.12 chooses the Python that .venv is made with; 3.11 or newer."

venv: .venv/.stamp-dev

quickstart: .venv/.stamp-run
	$(BIN)/gptwright run quickstart $(ARGS)

# One thread: the models of the tests are so small that two would only wait for each other.
test: export OMP_NUM_THREADS ?= 1
test: .venv/.stamp-dev
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile $(ARGS)

check: .venv/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy gptwright
	$(BIN)/lint-imports

bench: .venv/.stamp-dev
	$(BIN)/python benchmarks/run.py $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info .coverage
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/.stamp-python:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "There is no '$(PYTHON)' here: install Python 3.11 or newer, or name one: make $(MAKECMDGOALS) PYTHON=..."; exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is `$(PYTHON) -V 2>&1`; gptwright needs 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; } >&2
	$(PYTHON) -m venv .venv
	touch $@

# torch by itself first: it is nearly all of the download, and a failure there is plain to see.
.venv/.stamp-run: .venv/.stamp-python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[report]'
	touch $@

.venv/.stamp-dev: .venv/.stamp-python pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e '.[report,data,hf,dev]'
	touch .venv/.stamp-run $@
