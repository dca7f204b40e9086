# Two commands do all the set-up on a fresh machine with Python 3.11 and make, a third serves:
#   make demo   install, then phantom images → audit → train → evaluate → report
#   make serve  the page that reads images with what the demo trained
#   make test   install, then run all tests
# Each target makes the environment it needs; `make PYTHON=python3.12 test` uses another Python.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
AUTOML := .venv-automl
EXTRAS := train,timm,serve,onnx,explain,tune,pacs
PYTEST_WORKERS ?= 2

.PHONY: install demo serve test lint check bench bench-peers bench-automl docs pictures constraints clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'uv>=0.5'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt \
	  --compile-bytecode --editable '.[$(EXTRAS)]' --group dev --group docs
	touch $@

demo: install
	$(BIN)/pellucid demo oct --out demo/oct --overwrite

# The page and the API of what `make demo` trained, until ctrl-C.
serve: install
	$(BIN)/pellucid serve demo/oct/run

# One thread a worker: two workers with two threads each would fight over the cores.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup src tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

# Every contest of speed with its plot; on a quiet machine, about two hours, most of them for peers.
bench: install bench-peers
	for name in start judging growth; do \
	  $(BIN)/python benchmarks/$$name.py $(call figures,$$name) || exit 1; done
	for part in batch one command; do \
	  $(BIN)/python benchmarks/prediction.py --part $$part $(call figures,prediction_$$part) \
	  || exit 1; done
	$(BIN)/python benchmarks/precision.py --json benchmarks/results/precision.json
	for part in limit peers first; do \
	  $(BIN)/python benchmarks/training.py --part $$part $(call figures,training_$$part) \
	  || exit 1; done

figures = --json benchmarks/results/$(1).json --plots docs/pictures/benchmarks

bench-peers: $(PEERS)/.installed

$(PEERS)/.installed: benchmarks/peers/constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet 'uv>=0.5'
	$(PEERS)/bin/uv pip install --quiet --python $(PEERS)/bin/python --compile-bytecode \
	  --constraint benchmarks/peers/constraints.txt \
	  torch torchvision fastai lightning monai timm
	touch $@

# AutoGluon, which pins another torch than ours: for benchmarks/medmnist.py.
bench-automl: $(AUTOML)/.installed

$(AUTOML)/.installed: benchmarks/peers/automl.txt
	$(PYTHON) -m venv $(AUTOML)
	$(AUTOML)/bin/python -m pip install --quiet 'uv>=0.5'
	$(AUTOML)/bin/uv pip install --quiet --python $(AUTOML)/bin/python --compile-bytecode \
	  --constraint benchmarks/peers/automl.txt autogluon.multimodal
	touch $@

# The lecture's pictures, from phantoms; trains a ResNet-34 for some minutes.
pictures: install
	OMP_NUM_THREADS=1 $(BIN)/python docs/make_pictures.py

docs: install
	$(BIN)/mkdocs build --strict --quiet --site-dir site

# Renew the pins from what is installed now; names and versions only.
constraints: install
	{ echo '# What CI tested: names and versions only. Made by `make constraints`.'; \
	  $(BIN)/uv pip freeze --python $(BIN)/python --exclude-editable \
	  | grep -v -E '^(pip|uv|setuptools)=='; } > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean:
	rm -rf $(VENV) $(PEERS) $(AUTOML) site dist demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
