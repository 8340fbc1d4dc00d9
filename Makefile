# Everything happens in .venv, made from pyproject.toml on the first use.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
SEEDED := $(patsubst tools/networks/%.light.onnx,%,$(wildcard tools/networks/*.light.onnx))

.PHONY: help venv lint types lit unit check demo networks cost-model records clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */  make \1\t/' | expand -t 16

venv: .venv/ready ## make the environment in .venv

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

lint: venv ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv ## pyright, strict
	$(BIN)/pyright

lit: venv ## IR in, IR out: one file a pass
	$(BIN)/lit -v tests/lit

unit: venv ## pytest: side by side, then what measures or starts processes
	$(BIN)/python -m pytest -q --durations=15 -m 'not alone' -n logical --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -q --durations=15 -m alone

check: lint types lit unit ## all of the above

demo: venv ## compile a real network, run it, compare with onnxruntime
	$(BIN)/python examples/demo.py

.networks/ready: tools/networks/seeded.py tools/networks/imagenet.py $(wildcard tools/networks/*.light.onnx) | venv
	@mkdir -p .networks
	@for n in $(SEEDED); do $(BIN)/python -m ansorc.tools.networks.seeded $$n .networks/$$n.onnx; done
	@for n in $$($(BIN)/python -c 'from ansorc.tools.networks import IMAGENET; print(*IMAGENET)'); \
	do $(BIN)/python -m ansorc.tools.networks.imagenet $$n .networks/imagenet_$$n.onnx; done
	@touch $@

networks: .networks/ready ## compile 20 real networks, compare numbers and times with onnxruntime (25 min, 3 GB)
	$(BIN)/ansorc-bench networks .networks/*.onnx

TRAINING := $(patsubst %,.networks/%_b1.onnx,mobilenet_v2 resnet50 bert_base dcgan resnet3d18)
TRAINED := native x86-64-v3
UNLEARNED := --cost-model none --records build/trained.db
cost-model: .networks/ready ## measure AVX-512 and AVX2 programs, train the cost model that is shipped (1.6 h)
	@mkdir -p build
	set -e; for t in $(TRAINED); do \
	  for n in $(TRAINING); do \
	    for p in evolution:900 random:300; do \
	      $(BIN)/ansorc-tune network $$n --target $$t --policy $${p%:*} --trials $${p#*:} --scheduler round-robin $(UNLEARNED); \
	    done; \
	  done; \
	done
	$(BIN)/ansorc-tune suite op --trials 100 $(UNLEARNED)
	$(BIN)/ansorc-tune train build/trained.db $(TRAINED:%=--target %) -o compiler/cost_model/x86-64.npz

RECORDED := $(patsubst %,.networks/%.onnx,mobilenet_v2_b1 resnet50_b1 dcgan_b1 bert_base_b1 mobilenet_v2_b16 dcgan_b16)
records: .networks/ready ## tune networks for AVX-512 and AVX2, keep what wins: the schedules that are shipped (3 h)
	@mkdir -p build
	set -e; for t in $(TRAINED); do \
	  for n in $(RECORDED); do $(BIN)/ansorc-tune network $$n --target $$t --seconds 900 --records build/tuned.db; done; \
	done
	$(BIN)/ansorc-tune ship $(RECORDED) --records build/tuned.db $(TRAINED:%=--target %) -o compiler/records/x86-64.db

clean: ## remove the environment and what the tools left
	rm -rf .venv .networks build dist .pytest_cache .ruff_cache .hypothesis
