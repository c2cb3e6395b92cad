# One line a target; `make` or `make help` lists them. The first call of any of them sets everything up.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
BIN := .venv/bin
MODEL := demo
JARS := var/kafka/libs
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run test up down status bench bench-finetune bench-labels bench-quality bench-fusion nemesis nemesis-long nemesis-million soak fuzz audit sbom fmt lint build setup programs programs-test clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: setup  ## Set up, start everything, and watch simulated shoppers change their pages live (Ctrl-C ends it)
	@$(BIN)/vitrine run $(if $(SECURE),--secure) $(ARGS)

up: setup  ## Start everything in the background; SECURE=1 with TLS, passwords and access rules; ARGS="--workers 2"
	@$(BIN)/vitrine up $(if $(SECURE),--secure) $(ARGS)

down:  ## Stop what `make up` started
	@$(BIN)/vitrine down

status:  ## Processes and addresses; ARGS=--json for programs
	@$(BIN)/vitrine status $(ARGS)

test: setup programs-test lint  ## Format, types, import layers, then all tests against a real Kafka and a real Triton
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ARGS)

lint: setup  ## The checks without the tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@for shim in triton_models/repository/*/1/model.py; do $(BIN)/mypy "$$shim"; done
	@$(BIN)/lint-imports

fmt: .venv/.installed  ## Format and sort imports
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: setup  ## Latency and throughput against plain Kafka and hand-written loops: JSON and picture in benchmarks/results
	@$(BIN)/vitrine bench $(ARGS)

bench-quality: setup  ## Recommendation quality against the published baselines: JSON and picture in benchmarks/results
	@$(BIN)/python -m benchmarks.quality $(ARGS)

bench-fusion: setup  ## Text, picture and behaviour against each alone, cold items, rare items: JSON and picture
	@$(BIN)/python -m benchmarks.fusion $(ARGS)

bench-finetune: setup  ## Full fine-tuning, LoRA and frozen towers side by side: JSON and picture in benchmarks/results
	@$(BIN)/python -m benchmarks.finetune $(ARGS)

bench-labels: setup  ## Gain of pseudo-labels, and of choosing what to label next: JSON and picture in benchmarks/results
	@$(BIN)/python -m benchmarks.labels $(ARGS)

nemesis: setup  ## Kill, pause, cut and flood a stack of its own for two minutes; an oracle checks every page
	@$(BIN)/vitrine nemesis $(ARGS)

nemesis-long: setup  ## 20 runs of 300 s with three brokers, resumable: JSON and picture in benchmarks/results
	@$(BIN)/vitrine nemesis --runs 20 --seconds 300 --nodes 3 --out benchmarks/results/nemesis.json $(ARGS)

nemesis-million: setup  ## A million events under 50 kill -9, in rounds, resumable: JSON in benchmarks/results
	@$(BIN)/vitrine nemesis-million --out benchmarks/results/nemesis-million.json $(ARGS)

fuzz: setup  ## 100,000 inputs, guided by coverage, against the worker's decoder and fold
	@$(BIN)/vitrine fuzz $(ARGS)

soak: setup  ## Two hours of steady traffic: does anything grow? JSON and picture; ARGS="--hours 8 --rate 300"
	@$(BIN)/vitrine soak $(ARGS)

audit: setup  ## Known vulnerabilities of all pinned packages; ends with 3 where the advisory service cannot be asked
	@$(BIN)/python -m stack.audit $(ARGS)

sbom: setup  ## Bills of materials (CycloneDX) of all pinned packages and jars in var/sbom
	@$(BIN)/python -m stack.bill

build: setup  ## Alias of setup

setup: programs .venv/.installed .venv-serving/.installed $(JARS)/.coordinates var/models/$(MODEL)/.exported  ## Environments, Kafka's jars, exported models; seconds when done before

programs:
	@stack/programs.sh run

programs-test:
	@stack/programs.sh test

# The stamps lie in what they stand for, so that deleting an environment also forgets that it was made.
.venv/.installed: requirements/project.txt pyproject.toml
	@echo "installing the project's environment (.venv)"
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Vitrine needs Python 3.11, $(PYTHON) is " + sys.version)'
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/project.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv-serving/.installed: requirements/serving.txt .venv/.installed
	@echo "installing Triton's environment (.venv-serving)"
	@test -x .venv-serving/bin/python || "$(PYTHON)" -m venv .venv-serving
	@$(BIN)/uv pip install --quiet --python .venv-serving/bin/python --require-hashes -r requirements/serving.txt
	@touch $@

$(JARS)/.fetched: stack/kafka/pom.xml
	@echo "fetching Kafka's jars"
	@rm -rf $(JARS)
	@mvn -q -B -f stack/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/$(JARS) -DincludeScope=runtime
	@touch $@

# Which project each jar is of, for the bill of materials.
$(JARS)/.coordinates: $(JARS)/.fetched
	@mvn -q -B -f stack/kafka/pom.xml dependency:list -DoutputFile=$(CURDIR)/$@ -DincludeScope=runtime

var/models/$(MODEL)/.exported: triton_models/artefacts/$(MODEL)/manifest.json triton_models/export.py .venv/.installed
	@echo "exporting the $(MODEL) model for Triton"
	@$(BIN)/python -m triton_models.export --artefact triton_models/artefacts/$(MODEL) --out var/models/$(MODEL)
	@touch $@

clean: down  ## Stop, and delete environments, models, jars and data
	@rm -rf .venv .venv-serving var
