# Two commands: `make demo` shows what samespace does, `make test` runs everything that must hold. For those who measure:
# `make bench DATA=FOLDER`, FOLDER with retrieval/scifact and scale/rfc-passages.jsonl.gz (benchmarks/README.md).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo install test bench readme clean

# hnswlib compiles when it is installed; without a compiler all but `--ann hnsw` works.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "samespace needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	$(BIN)/python -m compileall -q cli core configs
	$(PIP) hnswlib 2>$(VENV)/hnswlib.log || echo "hnswlib was not installed (no compiler?): --ann hnsw will say so; $(VENV)/hnswlib.log"
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	touch $@

install: $(VENV)/installed

demo: $(VENV)/installed
	BIN=$(BIN) sh tests/demo.sh

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

$(VENV)-peers/installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	touch $@

# Those whose survival is measured have an environment of their own: what they need does not agree with the others.
$(VENV)-lifecycle-peers/installed: benchmarks/lifecycle/peers/requirements.txt
	$(PYTHON) -m venv $(VENV)-lifecycle-peers
	$(VENV)-lifecycle-peers/bin/python -m pip --disable-pip-version-check install --quiet --requirement $<
	touch $@

bench: $(VENV)/installed-dev $(VENV)-peers/installed $(VENV)-lifecycle-peers/installed
	sh benchmarks/all.sh "$(DATA)" $(BIN)/python $(VENV)-peers/bin/python $(VENV)-lifecycle-peers/bin/python

readme: $(VENV)/installed-dev
	$(BIN)/python tests/update_readme.py

clean:
	rm -rf $(VENV) $(VENV)-peers $(VENV)-lifecycle-peers .demo .bench build *.egg-info .pytest_cache .mypy_cache .ruff_cache
