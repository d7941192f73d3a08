# Everything is installed into .venv beside this file; delete it to start afresh.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WORKERS ?= 2

.PHONY: demo test test-slow test-suites check docs bench clean

demo: $(VENV)/installed          ## meta-train an agent on bandits, measure it, draw the page
	$(BIN)/quickstudy demo --overwrite

test: $(VENV)/installed-test     ## the tests, warnings as errors
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow and not suites"

test-slow: $(VENV)/installed-test  ## the same laws and numbers where they take long: 500 pulls, 50 arms, LSTMs
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "slow and not suites"

test-suites: $(VENV)/installed-suites  ## short tests of Meta-World, MuJoCo and every other suite that is installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "suites and not slow"

check: $(VENV)/installed-check docs  ## format, lint, types, documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/installed-test     ## the documentation's links resolve and its code runs
	$(BIN)/python -m pytest tests/docs -m "not slow and not suites"

bench: $(VENV)/installed         ## training throughput and decision latency on this machine; leave it alone meanwhile
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/latency.py

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "quickstudy needs Python 3.11 or later; make PYTHON=python3.12 picks another.")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	@echo "installing (about a minute the first time) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed
	@$(PIP) --editable '.[check]'
	@touch $@

$(VENV)/installed-suites: $(VENV)/installed-test
	@$(PIP) --editable '.[test,metaworld,mujoco,xland,ray]'
	@touch $@
