# Every target works on a fresh machine with python3 and make; what is missing is installed into .venv or the cache.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export UV_SYSTEM_CERTS := 1
export PYTHONPATH := $(CURDIR)/operator
export PYTHONDONTWRITEBYTECODE := 1
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLUSTER ?= embedded
STAGE := $(BIN)/python -m wi_testkit.stage

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements/dev.lock tools/bootstrap.sh
	@bash tools/bootstrap.sh $(VENV)
	@touch $@

setup: $(READY) ## Make the virtual environment

fmt: $(READY) ## Format the code
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

lint: $(READY) ## Style, layers, budgets, generated files
	@$(BIN)/ruff format -q --check .
	@$(BIN)/ruff check -q .
	@$(BIN)/lint-imports --no-cache | tail -1
	@$(BIN)/python tools/check_budgets.py
	@$(BIN)/python tools/generate_crds.py --check
	@$(BIN)/python tools/generate_troubleshooting.py --check
	@$(BIN)/python tools/generate_reference.py --check
	@$(BIN)/python tools/generate_values.py --check
	@$(BIN)/python tools/generate_policy.py --check
	@$(BIN)/python tools/generate_metrics.py --check
	@$(BIN)/python tools/generate_cli.py --check

types: $(READY) ## Static types
	@$(BIN)/mypy --no-error-summary

unit: $(READY) ## Unit and architecture tests
	@$(BIN)/pytest -q tests/unit tests/architecture

check: lint types unit ## Everyday feedback: format, lint, types, unit

contract: $(READY) ## Contract tests against the emulators
	@$(BIN)/pytest -q tests/contract

chart: $(READY) ## Tests of the chart and of manifests/
	@$(BIN)/pytest -q tests/chart

matrix: $(READY) ## Kickoffs of real CrewAI releases and of worker processes
	@$(BIN)/pytest -q tests/matrix tests/workers

integration: $(READY) ## Tests on a bare API server
	@$(BIN)/pytest -q tests/integration

observability: $(READY) ## Metrics, logs, alerts and dashboard against a real Prometheus
	@$(BIN)/pytest -q tests/observability

e2e: $(READY) ## Tests in real pods (CLUSTER=embedded|current|kind)
	@CLUSTER=$(CLUSTER) $(BIN)/pytest -q e2e

test: $(READY) ## Everything: lint, types, unit, contract, integration, e2e
	@CLUSTER=$(CLUSTER) $(BIN)/python tools/run_tests.py

demo: $(READY) ## From nothing to a kickoff that sees a rotated secret
	@CLUSTER=$(CLUSTER) $(STAGE) up

demo-rotate: $(READY) ## Rotate the demo's secret: make demo-rotate VALUE=...
	@CLUSTER=$(CLUSTER) $(STAGE) rotate "$(VALUE)"

demo-down: $(READY) ## Remove the demo and its cluster
	@CLUSTER=$(CLUSTER) $(STAGE) down

pictures: $(READY) ## Draw docs/pictures from the running demo
	@$(BIN)/python tools/make_pictures.py

crds: $(READY) ## Generate the CustomResourceDefinitions from the models
	@$(BIN)/python tools/generate_crds.py
	@$(BIN)/python tools/generate_policy.py

site: $(READY) ## Build the documentation's site into build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs-test: $(READY) ## The documentation: site, links, every fenced command and manifest
	@$(BIN)/pytest -q tests/docs

docs: $(READY) ## Write what docs/ takes from the code
	@$(BIN)/python tools/generate_troubleshooting.py
	@$(BIN)/python tools/generate_cli.py
	@$(BIN)/python tools/generate_reference.py
	@$(BIN)/python tools/generate_metrics.py
	@$(BIN)/python tools/generate_values.py

manifests: $(READY) crds ## Render manifests/ from the chart
	@$(STAGE) render

images: $(READY) ## Build the images into the cache
	@$(STAGE) images

bench: $(READY) ## Benchmarks against their goals (BENCH=sidecar|launcher|hook|admission|grants|reconcile|start for one)
	@$(BIN)/python bench $(BENCH)

soak: $(READY) ## A long quiet run: no write, no growth of memory (MINUTES=15)
	@MINUTES=$(MINUTES) $(BIN)/python bench/soak.py

outage: $(READY) ## Kickoffs without issuer, and without API server, in real time (MINUTES=12)
	@MINUTES=$(MINUTES) $(BIN)/python bench/outage.py

lock: $(READY) ## Resolve the pinned dependencies again
	@$(BIN)/uv pip compile -q pyproject.toml --universal --generate-hashes --no-annotate --no-header -o requirements/product.lock
	@$(BIN)/uv pip compile -q pyproject.toml --group dev --extra cli --universal --generate-hashes --no-annotate --no-header -o requirements/dev.lock
	@for each in requirements/*.in; do name=$${each%.in}; \
	  $(BIN)/uv pip compile -q $$each $$(ls $$name.overrides 2>/dev/null | sed 's/^/--overrides /') --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-header -o $$name.lock; done

.PHONY: pictures observability bench soak outage help setup fmt lint types unit check contract matrix integration e2e test demo demo-rotate demo-down crds docs docs-test site manifests images lock chart
