# Every target sets itself up: a virtual environment in the checkout, from pinned and hash-checked packages.
# `uv` is used when it is there; Python 3.11 or newer and pip are enough.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
# An environment that was made slim stays so until `make setup SLIM=`.
SLIM ?= $(wildcard $(VENV)/.slim)
STAMP := $(VENV)/$(if $(SLIM),.slim,.installed)
LOCK := $(if $(SLIM),constraints-slim.txt,constraints.txt)
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
ARGS ?=

.PHONY: help setup bench bench-micro test soak check ui stack-up stack-down stack-status stack-logs lock clean

help: ## Show what can be done (the default)
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1mmake %-13s\033[0m %s\n", $$1, $$2}'
	@echo "  Scenarios: $(PY) -m cdc_users   options: docs/options.md, or locust -f locustfiles/throughput.py --help"

setup: $(STAMP) ## Install everything into .venv (every other target does it by itself); SLIM=yes leaves much out

$(STAMP): $(LOCK) pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Name one with PYTHON=/path/to/python3.11" >&2; exit 2; }
	@if command -v uv >/dev/null 2>&1; then \
	  echo "setup: installing the pinned packages with uv" && \
	  { [ -x $(PY) ] || uv venv --quiet --seed --python "$(PYTHON)" $(VENV); } && \
	  uv pip install --python $(PY) --require-hashes -r $(LOCK) && \
	  uv pip install --quiet --python $(PY) --no-deps --no-build-isolation -e .; \
	else \
	  echo "setup: installing the pinned packages with pip (about a minute the first time)" && \
	  { [ -x $(PY) ] || "$(PYTHON)" -m venv $(VENV); } && \
	  $(PY) -m pip install --disable-pip-version-check --no-deps --require-hashes -r $(LOCK) && \
	  $(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .; \
	fi
	@rm -f $(VENV)/.slim $(VENV)/.installed && touch $(STAMP)

bench: $(STAMP) ## Run every scenario on real servers and print one table (ARGS="--only throughput" narrows it)
	@$(PY) -m cdc_users.bench $(ARGS)

bench-micro: $(STAMP) ## Measure single parts (decoder, hashing, naming, JSON) beside their baselines; no servers needed
	@$(PY) -m pytest tests/benchmark -m micro $(ARGS)

test: $(STAMP) ## Run what CI runs: checks, unit and integration tests, every locustfile in smoke size
	@$(PY) -m tests.tiers test $(ARGS)

soak: $(STAMP) ## Run the long proofs: millions of events, repeated kill -9
	@$(PY) -m tests.tiers soak $(ARGS)

check: $(STAMP) ## Format, lint, types, import rules and unit tests, in about a minute
	@$(PY) -m tests.tiers check $(ARGS)

ui: $(STAMP) ## Open Locust's web UI on http://127.0.0.1:8089 with every scenario
	@$(VENV)/bin/locust -f locustfiles --class-picker --web-host 127.0.0.1 $(ARGS)

stack-up: $(STAMP) ## Start PostgreSQL, Kafka, Schema Registry and Kafka Connect, and keep them
	@$(PY) -m infra.stack up $(ARGS)

stack-down: $(STAMP) ## Stop them and leave nothing behind
	@$(PY) -m infra.stack down

stack-status: $(STAMP) ## Say what is up, where, and whether it answers
	@$(PY) -m infra.stack status

stack-logs: $(STAMP) ## Show the servers' logs
	@$(PY) -m infra.stack logs $(ARGS)

lock: $(STAMP) ## Pin what pyproject.toml and pom.xml newly name (maintainers; ARGS=--upgrade also takes newer versions)
	@command -v uv >/dev/null || { echo "make lock needs uv" >&2; exit 2; }
	$(PY) -m tests.pin --clear
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --quiet $(ARGS) --output-file constraints.txt
	uv pip compile pyproject.toml --extra maven --group bench --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --quiet --constraint constraints.txt --output-file constraints-slim.txt
	$(PY) -m tests.pin
	$(PY) -m infra.stack.artifacts.lock

clean: ## Remove the virtual environment, caches and results of this checkout (servers must be down)
	@if [ -e .stack/endpoints.json ]; then echo "the stack is up; run 'make stack-down' first" >&2; exit 2; fi
	rm -rf $(VENV) .stack results out .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
