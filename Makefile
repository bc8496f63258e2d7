# Two commands: `make demo` runs the flagship scenario to a finished report, `make test` runs all checks. Both install into .venv first.
PYTHON ?= python3
BIN := .venv/bin
# Compiled modules are kept, whatever the environment says: tests start many processes, and each would compile the package again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-long install lint types unit bench lock clean

demo: install
	$(BIN)/simtrials run scenarios/next_trial.toml

# Side by side, since the checks of types keep only one core busy.
test: install
	$(MAKE) -j 3 lint types unit

# Searches on every design, settings of the review and rows of published simulations that take long.
LONG := $(addprefix tests/statistical/test_,sample_size.py detectable_effect.py review_2026.py published_simulations.py)

test-long: install
	SIMTRIALS_LONG=1 $(BIN)/python -m pytest -n auto --dist loadfile $(LONG)

install: .venv/.installed

.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "simtrials needs Python 3.11 or later; name one with make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch .venv/.installed

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

unit:
	$(BIN)/python -m pytest -n auto --dist loadfile

bench:
	$(BIN)/python benchmarks/speed.py

lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file requirements.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache dist
