# make demo    answer a word problem with the bundled model, on this machine, from nothing
# make test    what CI runs: style, types, floors, then every test
# make help    the rest
SHELL := bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A stamp says that the environment holds what pyproject.toml and constraints.txt ask for,
# so that a second `make` starts at once and needs no network.
DEMO_STAMP := $(VENV)/.demo-ready
DEV_STAMP := $(VENV)/.dev-ready
# Of llama.cpp only what the package uses; a build for a GPU adds -DGGML_CUDA=on or the like.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF
export QUESTION ?= Tom has 4 bags. Each bag has 6 apples. Ann has 5 more apples than Tom. How many apples does Ann have?

# One short line a package, so that a long download is seen to move.
PROGRESS := awk '/^Collecting/ { sub(/[^A-Za-z0-9._-].*/, "", $$2); print "  " $$2; fflush() } /^(Building|Installing)/ { print "  " $$1 " ..."; fflush() }'
PIP := $(BIN)/python -m pip --disable-pip-version-check install --progress-bar off --constraint constraints.txt

.PHONY: help demo test test-minimum lint format types floors unit bench docs train-nano clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "langchain-qstar needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "could not make $(VENV); on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV)/ (nothing outside it): this package with the extras 'transformers' and 'cli'"
	@echo "(langchain-core, langgraph, torch, transformers, rich and what they need): about 260 MB to download,"
	@echo "1.2 GB on disk with the CPU build of torch. Where pip prefers the CUDA build, add about 3 GB."
	@set -o pipefail; $(PIP) --editable '.[transformers,cli]' | $(PROGRESS)
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV)/ (nothing outside it): this package with all extras and the development tools:"
	@echo "about 480 MB to download, 1.7 GB on disk with the CPU build of torch (CUDA build: 3 GB more)."
	@echo "llama.cpp is built from source, which takes some minutes."
	@set -o pipefail; $(PIP) 'pip>=25.1' | $(PROGRESS)
	@set -o pipefail; $(PIP) --editable '.[all]' --group dev | $(PROGRESS)
	@touch $(DEMO_STAMP) $@

demo: $(DEMO_STAMP)  ## answer a word problem with Q* and the bundled model (QUESTION=... for your own)
	@$(BIN)/qstar solve "$$QUESTION"

test: lint types floors unit  ## style, types, floors and all tests: what CI runs

lint: $(DEV_STAMP)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(DEV_STAMP)  ## mypy, strict
	@$(BIN)/mypy

floors: $(DEV_STAMP)  ## imports run from higher floors to lower ones
	@$(BIN)/lint-imports

# Two processes of one thread each: a third of the time of one process, whose threads meet at a
# barrier after every operation of a small model.
WORKERS ?= 2
unit: $(DEV_STAMP)  ## the tests, without lint and types (WORKERS=4 for more at once)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# The oldest versions that pyproject.toml allows, in an environment of their own, without torch.
MINIMUM := langchain-core==1.7.0 langgraph==1.2.16 langgraph-checkpoint-sqlite==3.1.2 \
  langgraph-checkpoint-postgres==3.2.0 'psycopg[binary,pool]==3.2.10' pydantic==2.11.0
test-minimum: | $(BIN)/python  ## the tests of search and threads with the oldest langchain-core and langgraph
	@test -x build/minimum/bin/python || $(PYTHON) -m venv build/minimum
	@build/minimum/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off $(MINIMUM) \
	  'pytest>=8.4' 'pytest-asyncio>=1.2' 'pytest-socket>=0.7' 'hypothesis>=6.130'
	@PYTHONPATH=. build/minimum/bin/python -m pytest -q -p no:cacheprovider -m 'not nano' \
	  tests/test_qstar.py tests/nodes tests/chains tests/state

format: $(DEV_STAMP)  ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(DEV_STAMP)  ## every benchmark in its quick form
	@for file in benchmarks/*.py; do echo "$$file --quick"; $(BIN)/python $$file --quick || exit; done

docs: $(DEV_STAMP)  ## write what is generated in README.md and docs/: tables of results, curves, and the settings
	@$(BIN)/python benchmarks/readme.py
	@$(BIN)/python benchmarks/curves.py
	@$(BIN)/python -m langchain_qstar.settings > docs/settings.md

train-nano: $(DEV_STAMP)  ## train the bundled model and its Q head again, into build/nano (two hours on CPU; resumable)
	@$(BIN)/python -m langchain_qstar.training.nano --compile --out build/nano
	@$(BIN)/python -m langchain_qstar.training.q_head --model build/nano
	@$(BIN)/python -m langchain_qstar.training.card --model build/nano

clean:  ## remove the environment, builds and caches
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
