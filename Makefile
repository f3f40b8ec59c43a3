# make demo and make test do all the set-up themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# On many cores; each process takes whole files of tests, so that what these share is made once.
TOGETHER := -n auto --maxprocesses 4 --dist loadfile

.PHONY: install demo test test-fast trust fuzz test-lowest test-newest wheel sbom lint bench clean

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

# Kills, power losses, faults, pairs of processes, 500 epochs: half an hour; TRUST=0.1 make trust: minutes.
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

# What is installed, with versions and licences, as CycloneDX; the tool that writes it has an environment of its own.
sbom: $(STAMP)
	mkdir -p build
	$(PYTHON) -m venv .venv-sbom
	.venv-sbom/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom
	.venv-sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library --output-reproducible \
		--output-file build/sbom.json $(BIN)/python

lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# Time and memory against straightforward code, written to benchmarks/RESULTS.md: five minutes of one core.
bench: $(STAMP)
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python benchmarks/bench.py

clean:
	rm -rf $(VENV) .venv-lowest .venv-newest .venv-sbom build runs/demo runs/demo-scenes
