# make demo and make test do all the set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# On many cores; each process takes whole files of tests, so that what these share is made once.
TOGETHER := -n auto --maxprocesses 4 --dist loadfile

.PHONY: install demo test test-fast trust lint bench clean

install: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,coco,export,offline]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/ktse demo --out runs/demo

test: $(STAMP)
	$(BIN)/python -m pytest $(TOGETHER)

test-fast: $(STAMP)
	$(BIN)/python -m pytest $(TOGETHER) -m "not trains"

# Kills, power losses, faults, pairs of processes: a quarter of an hour on one core; TRUST=4 make trust takes an hour.
trust: $(STAMP)
	$(BIN)/python -m pytest tests/trust -m trust

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# A data set with masks for the comparison: make bench DATA=path/to/data [WEIGHTS=file]
WEIGHTS ?= hub
bench: $(STAMP)
	$(BIN)/python benchmarks/plain_against_ktse.py $(DATA) --weights $(WEIGHTS)

clean:
	rm -rf $(VENV) runs/demo runs/demo-scenes
