# `make run` and `make test` are all that a newcomer needs; each installs into .venv when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: run test lint bench wheel-check clean

run: $(STAMP)
	$(BIN)/cpi-resets reproduce --profile quick

test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet -c benchmarks/constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks

# The wheel must work where the source tree is not: a clean environment and another directory.
wheel-check: $(STAMP)
	rm -rf build/wheel-check && mkdir -p build/wheel-check
	$(BIN)/python -m build --wheel --outdir build/wheel-check . >/dev/null
	$(PYTHON) -m venv build/wheel-check/venv
	build/wheel-check/venv/bin/python -m pip install --quiet -c constraints.txt build/wheel-check/*.whl
	cd build/wheel-check && ! unzip -l *.whl | grep -E ' (tests|benchmarks)/'
	cd build/wheel-check && venv/bin/cpi-resets verify --quick

# The environment is rebuilt when the declared or the pinned versions change.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
