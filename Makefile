# Everything runs in a local virtual environment; a fresh machine needs make and a Python that
# pyproject.toml allows (requires-python).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIPS := runs/demo-clips
# Memory in huge pages, where Linux gives them for the asking: see benchmarks/README.md.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
COUNT ?= 12
SEED ?= 1

# Ends with 1 where requires-python leaves out the interpreter; its words are for any Python 3.
define CHECK_PYTHON
import re, sys
bounds = re.search(r'requires-python = ">=3[.](\d+),<3[.](\d+)"', open("pyproject.toml").read())
low, end = int(bounds.group(1)), int(bounds.group(2))
here = sys.version_info[:2]
if not (3, low) <= here < (3, end):
    sys.exit("Python 3.%d to 3.%d is needed, but %s is %d.%d: %s"
             % (low, end - 1, sys.argv[1], here[0], here[1], sys.argv[2]))
endef
export CHECK_PYTHON

.DEFAULT_GOAL := help
.PHONY: help setup lavis demo ablation comparison results control keep-outside long test soak test-fast lint format bench lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY) ## Create the environment from requirements.lock

$(READY): requirements.lock pyproject.toml
	@test -x $(BIN)/pip || $(PYTHON) -c "$$CHECK_PYTHON" $(PYTHON) "name another, such as make setup PYTHON=python3.12"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c "$$CHECK_PYTHON" $(VENV) "make clean, then make setup PYTHON=python3.12"
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lavis: $(READY) ## Create the environment that caption.backend=lavis needs, in .venv-lavis
	$(BIN)/python -m components.captioning.lavis.environment

demo: $(READY) ## Edit and score the demo's clips on this machine, into runs/demo
	$(BIN)/python -m tinyworld.clips $(CLIPS)
	$(BIN)/tav run --config manifests/runs/demo.yaml

# Not text2live: an edit takes two minutes of a core, of the others seconds (docs/methods.md).
ABLATION = full no_st_attn no_inversion no_tuning no_tuning_no_st_attn no_inversion_no_st_attn tune_attention tune_all
METHODS = plug_and_play sdedit frame_by_frame fatezero fatezero_all edit_friendly edit_friendly_frames identity

ablation: VARIANTS = $(ABLATION)
ablation: $(READY) ## Edit COUNT=12 drawn clips with the method, without its parts and with more tuned, and compare
comparison: $(READY) ## Edit COUNT=12 drawn clips likewise and with every other method, and compare
ablation comparison: CHOSEN = $(addprefix --variant ,$(VARIANTS))
ablation comparison:
	$(BIN)/python -m tinyworld.clips runs/comparison-clips --random $(COUNT) --seed $(SEED) $(if $(EDITS),--edits $(EDITS))
	$(BIN)/tav run --config manifests/runs/comparison.yaml $(CHOSEN)
	$(BIN)/tav compare runs/comparison $(CHOSEN) --to runs/$@.png
	$(BIN)/tav compare runs/comparison $(CHOSEN) --correlate tinyworld_v2 --to runs/$@.md
	$(BIN)/tav compare runs/comparison $(CHOSEN) --correlate tinyworld_v2

results: SHOWN = full no_tuning plug_and_play frame_by_frame sdedit fatezero_all edit_friendly
results: KEEPING = $(filter-out no_inversion no_inversion_no_st_attn identity,$(ABLATION) $(METHODS))
results: ## Write eval/RESULTS.md anew: tinyworld40's clips and edits by all but text2live; hours, and it can be interrupted
	$(MAKE) comparison COUNT=40 EDITS=140 VARIANTS="$(ABLATION) $(METHODS)"
	$(BIN)/tav compare runs/comparison $(addprefix --variant ,$(KEEPING)) --correlate tinyworld_v2 --to runs/keeping.md
	{ printf '# Methods beside each other\n\nWritten by `make results`, %s; [what it says](README.md#what-the-results-say).\n\n![Means with their intervals, by variant](results.png)\n\n' "$$(date -I)"; cat runs/comparison.md; \
	printf '\n## The same without the source itself and those without inversion\n'; sed '1,/^## Rank correlation/d' runs/keeping.md; } > eval/RESULTS.md
	cp runs/comparison.png eval/results.png
	$(BIN)/tav strip runs/comparison --videos 2 $(addprefix --variant ,$(SHOWN)) --to eval/edits.jpg

control: COUNT = 24
control: $(READY) ## Edit COUNT=24 clips in which one thing hides the other, with ControlNets and a T2I-Adapter and without
	$(BIN)/python -m tinyworld.clips runs/$@-clips --random $(COUNT) --seed $(SEED) --hiding --objects --maps
	$(BIN)/tav run --config manifests/runs/$@.yaml
	$(BIN)/tav strip runs/$@ --to runs/$@.png
	$(BIN)/tav compare runs/$@ --to runs/$@.md
	$(BIN)/tav compare runs/$@ --variant noise --variant noise_depth --variant noise_canny --to runs/$@-noise.md
	$(BIN)/tav compare runs/$@

keep-outside: COUNT = 24
keep-outside: $(READY) ## Edit COUNT=24 clips' objects with all outside of their masks kept and without
	$(BIN)/python -m tinyworld.clips runs/$@-clips --random $(COUNT) --seed $(SEED) --objects
	$(BIN)/tav run --config manifests/runs/$@.yaml
	$(BIN)/tav compare runs/$@ --to runs/$@.md
	$(BIN)/tav compare runs/$@

long: $(READY) ## Edit COUNT=12 clips of 96 frames in windows of 24, and measure seams and memory
	$(BIN)/python -m tinyworld.clips runs/$@-clips --random $(COUNT) --seed $(SEED) --objects --frames 96
	$(BIN)/tav run --config manifests/runs/$@.yaml
	$(BIN)/tav compare runs/$@ --to runs/$@.md
	$(BIN)/python -m benchmarks.long_clips runs/$@
	$(BIN)/python -m benchmarks.long_clips --memory

test: $(READY) ## Run all tests, in several processes
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --no-loadscope-reorder

soak: $(READY) ## Run the long tests: kills, outages, three nodes, other Pythons, the image, LAVIS, ablation
	$(BIN)/python -m pytest tests -m soak

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

bench: STEP = $(BIN)/python -m benchmarks.train_step --json --config sd14 --frames 8 --latent-size 32 --repeats 3 --parts
bench: $(READY) ## Measure steps at Stable Diffusion 1.4's channels: ours, as the official code computes them, in bf16; 11 GB, minutes
	mkdir -p runs/bench
	$(STEP) train_step guided_step > runs/bench/eager.json
	$(STEP) train_step guided_step --plain > runs/bench/plain.json
	$(STEP) train_step --checkpointing > runs/bench/checkpointing.json
	$(STEP) train_step guided_step --dtype bf16 > runs/bench/bf16.json
	$(BIN)/python -m benchmarks.forms runs/bench

lock: ## Pin every dependency anew
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--fork-strategy fewest --generate-hashes --upgrade --quiet --output-file requirements.lock
	cd components/captioning/lavis && $(abspath $(BIN)/uv) pip compile requirements.in --no-deps --universal \
		--python-version 3.11 --generate-hashes --quiet --output-file requirements.lock

clean: ## Remove the environment and the demo's run
	rm -rf $(VENV) $(VENV)-lavis runs/demo $(CLIPS)
