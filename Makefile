# `make demo` and `make test` need only Python >= 3.11, make and a package index: they make .venv themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# About half of the tests, in seconds.
BELOW := tests/supervisors tests/conformance tests/simulation $(addprefix tests/macula_actors/,admin cli core simulation transport)

.PHONY: demo test test-below test-above test-long check bench conformance format clean

$(READY): setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[dev]
	@touch $@

demo: $(READY) ## five nodes in five processes: discovery, calls by each path, and kills
	$(BIN)/python -m examples.five_nodes

test: $(READY) ## every test that takes less than a minute, on two cores
	$(BIN)/coverage erase
	$(MAKE) --no-print-directory -j2 test-below test-above
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-below: $(READY) # what nodes stand on, and the command line
	$(BIN)/coverage run --parallel-mode -m pytest -q -m "not long" $(BELOW)

test-above: $(READY) # all else
	$(BIN)/coverage run --parallel-mode -m pytest -q -m "not long" $(addprefix --ignore=,$(BELOW)) tests

test-long: $(READY) ## the tests that take minutes
	$(BIN)/python -m pytest -m long --timeout 1800

check: $(READY) ## format, lint, types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.conformance.table --check

conformance: $(READY) ## write tests/conformance/README.md anew
	$(BIN)/python -m tests.conformance.table

bench: $(READY) ## ratios to peers, in one run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .[bench]
	$(BIN)/python -m benchmarks

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .coverage*
