# Everything runs in a local virtual environment; a fresh machine needs Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIPS := runs/demo-clips

.DEFAULT_GOAL := help
.PHONY: help setup lavis demo test soak test-fast lint format bench lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Create the environment from requirements.lock

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python 3.11 or later is needed, but $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lavis: $(READY) ## Create the environment that caption.backend=lavis needs, in .venv-lavis
	$(BIN)/python -m components.lavis.environment

demo: $(READY) ## Edit and score the demo's clips on this machine, into runs/demo
	$(BIN)/python -m tinyworld.clips $(CLIPS)
	$(BIN)/tav run --config manifests/runs/demo.yaml

test: $(READY) ## Run all tests, in several processes
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder

soak: $(READY) ## Run the long tests: kills, outages, three nodes, metrics, pipelines, LAVIS, ablation
	$(BIN)/python -m pytest tests/integration -m soak

test-fast: $(READY) ## Run the unit and parity tests only
	$(BIN)/python -m pytest tests/unit tests/parity

lint: $(READY) ## Check style, types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## Measure one step of each kind on this machine
	$(BIN)/python -m benchmarks.train_step --config medium

lock: ## Pin every dependency anew
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --upgrade --quiet --output-file requirements.lock
	cd components/lavis && $(abspath $(BIN)/uv) pip compile requirements.in --no-deps --universal \
		--python-version 3.11 --generate-hashes --quiet --output-file requirements.lock

clean: ## Remove the environment and the demo's run
	rm -rf $(VENV) $(VENV)-lavis runs/demo $(CLIPS)
