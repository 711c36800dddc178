# Every target creates .venv and installs what it needs; nothing has to be there but Python 3.11+, make and a network
# route to a package index. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out

# Real data for tests and docs: used when the folder is there, never required, never committed.
ifneq ($(wildcard ../shared/data/README.md),)
export FAIRVL_REALDATA ?= $(abspath ../shared/data)
endif

.PHONY: help demo test realdata slow bench check docs clean browser
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

# torch, torchvision and open_clip are resolved together, so that their versions match.
$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[models,hf,diffusion,faiss,dev]'
	@touch $@ $(VENV)/.core

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable '.[models,hf,diffusion,faiss,dev,bench]'
	@touch $@

# Headless Chromium for the report's tests; where it cannot be installed those tests skip and say so.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver >/dev/null; \
	  fi; } || echo "chromium could not be installed: the browser tests will skip" >&2

demo: $(VENV)/.core  ## the main job on the built-in world: out/demo/report.html and findings.json
	$(BIN)/fairvl demo --out $(OUT)/demo

test: $(VENV)/.dev browser  ## the default tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

realdata: $(VENV)/.dev  ## the tests on real data; fails without it
	@test -n "$$FAIRVL_REALDATA" && test -d "$$FAIRVL_REALDATA" || { \
	  echo "FAIRVL_REALDATA names no folder; expected the real data of docs/first-audit.md" >&2; exit 1; }
	$(BIN)/python -m pytest -m realdata --realdata-required

$(VENV)/.slow: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --editable '.[models,hf,diffusion,faiss,dev,ray]'
	@touch $@

slow: $(VENV)/.slow  ## long proofs: retraining, 20 kills, calibration (docs/validity.md)
	$(BIN)/python -m pytest -m slow
	$(BIN)/python bench/calibration.py

# wefe holds numpy and scipy back by years, so it lives in an environment of its own.
$(VENV)-wefe/.done: | $(BIN)/python
	$(PYTHON) -m venv $(VENV)-wefe
	$(VENV)-wefe/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-wefe/bin/python -m pip install --quiet wefe==1.0.1
	@touch $@

bench: export FAIRVL_WEFE_PYTHON = $(abspath $(VENV)-wefe/bin/python)
bench: $(VENV)/.bench $(VENV)-wefe/.done  ## ours against peers, ratios: bench/results/*.json and docs/benchmarks.md
	$(BIN)/python -m pytest tests/measure/test_association_wefe.py
	$(BIN)/python bench/run_all.py

check: $(VENV)/.dev  ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:  ## remove what the targets made, but not .venv
	rm -rf $(OUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
