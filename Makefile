# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test check bench soak calendar clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "CPython 3.11 or newer is needed; name it with PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test,check,calendar,ta,bench]'
	touch $@

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/backtester sample $(DEMO)/store
	$(BIN)/backtester data check $(DEMO)/store --exchange XNYS --interval 1m
	$(BIN)/backtester run configs/demo.toml --store $(DEMO)/store --out $(DEMO)/runs
	$(BIN)/backtester verify $(DEMO)/runs/*
	$(BIN)/backtester sql $(DEMO)/runs/* --file configs/demo.sql

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2

bench: $(VENV)/installed
	$(BIN)/python -m bench

soak: $(VENV)/installed
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n 2 -m 'soak or not soak'
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -n 2 tests/kernels tests/features
	NUMBA_BOUNDSCHECK=1 $(BIN)/python -m pytest -n 2 tests/kernels tests/features

calendar: $(VENV)/installed
	$(BIN)/python scripts/build_calendar.py

clean:
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis
