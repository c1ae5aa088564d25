# The commands of the README. `make demo` and `make test` each work alone on a fresh
# machine with python3 and make: they set up what they need first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= cpu,dev

.PHONY: setup demo test slow lint format bench clean

setup: $(VENV)/ready

$(VENV)/ready: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools
	$(BIN)/pip install --quiet --editable '.[$(EXTRAS)]'
	touch $@

demo: setup
	$(BIN)/python apps/demo.py

test: setup
	$(BIN)/python -m pytest -m 'not slow'

slow: setup
	$(BIN)/python -m pytest -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/classification.py

clean:
	rm -rf $(VENV) runs build *.egg-info
