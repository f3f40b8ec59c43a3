# make demo and make test do all the set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# On many cores; each process takes whole files of tests, so that what these share is made once.
TOGETHER := -n auto --maxprocesses 4 --dist loadfile

.PHONY: install demo test test-fast trust fuzz test-lowest test-newest wheel lint bench clean

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
	$(BIN)/python -m pytest tests/trust --ignore tests/trust/test_fuzz.py -m trust

# 20,000 hostile inputs: FUZZ is the number for each parser that loads no torch.
FUZZ ?= 1200
fuzz: $(STAMP)
	KTSE_FUZZ=$(FUZZ) $(BIN)/python -m pytest $(TOGETHER) -m trust -s tests/trust/test_fuzz.py

# The oldest and the newest releases that pyproject.toml allows, each in an environment of its own.
SMOKE := tests/recipe tests/data tests/models tests/prediction tests/runtime tests/terminal tests/test_python.py
PACKAGES := '.[coco,export,review]' pytest hypothesis httpx torchmetrics
test-lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) .ci/lowest.py > .venv-lowest/lowest.txt
	.venv-lowest/bin/python -m pip install --quiet --constraint .venv-lowest/lowest.txt $(PACKAGES)
	.venv-lowest/bin/python -m pytest $(SMOKE)

test-newest:
	$(PYTHON) -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade $(PACKAGES)
	.venv-newest/bin/python -m pytest $(SMOKE)

# The same commit makes the same bytes.
wheel: $(STAMP)
	rm -rf build
	for copy in first second; do SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/$$copy . || exit 1; done
	cmp build/first/*.whl build/second/*.whl

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# A data set with masks for the comparison: make bench DATA=path/to/data [WEIGHTS=file]
WEIGHTS ?= hub
bench: $(STAMP)
	$(BIN)/python benchmarks/plain_against_ktse.py $(DATA) --weights $(WEIGHTS)

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest build runs/demo runs/demo-scenes
