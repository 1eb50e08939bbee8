# Targets create and keep .venv by themselves; a second run is quick and works offline.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# What the locks hold: hashes, and no registry's name. The image is built from the second one.
LOCK := --quiet --allow-unsafe --strip-extras --generate-hashes --no-emit-index-url \
	--no-emit-trusted-host --no-emit-find-links

# Compiled modules are kept: tests and commands start twice as fast with them.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test check test-mesh fmt lock generate bench-many bench-judge testbed clean

help: ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "rollout needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## Three gray releases on this machine: promoted, rolled back, aborted
	@$(BIN)/rollout demo

fmt: $(STAMP) ## Format and mend what can be mended
	@$(BIN)/ruff format rollout tests
	@$(BIN)/ruff check --fix --quiet rollout tests

check: $(STAMP) ## The fast loop: format, lint, types, floors, and every test that starts no server
	@$(BIN)/ruff format --check --quiet rollout tests
	@$(BIN)/ruff check --quiet rollout tests
	@$(BIN)/mypy
	@$(BIN)/pytest -q -n 2 --dist worksteal -m "not servers"

test: check ## Everything: make check, then the tests against real servers
	@$(BIN)/python -m tests.testbed.build --if-possible
	@$(BIN)/pytest -q -n 2 --dist loadscope -m servers $(MESH_OPTIONS)

test-mesh: $(STAMP) ## Releases on a real mesh: kube-apiserver, istiod, Envoys; writes .bench/mesh.json
	@$(BIN)/python -m tests.testbed.build --if-possible
	@$(BIN)/pytest -q tests/mesh $(MESH_OPTIONS)

generate: $(STAMP) ## Write the generated files again: CRDs, diagram
	@$(BIN)/python -m tests.artefacts

bench-many: $(STAMP) ## 200 Rollouts at once: step times, aborts, reactions, calls, CPU; 3 minutes
	@$(BIN)/python -m tests.benchmark.many

bench-judge: $(STAMP) ## The judgement against rivals in simulated worlds; BENCH_OPTIONS=--help tells more
	@$(BIN)/python -m tests.benchmark.judgement $(BENCH_OPTIONS)

testbed: $(STAMP) ## Build etcd, kube-apiserver, istiod and helm for the tests, once; needs Go 1.26
	@$(BIN)/python -m tests.testbed.build

lock: ## Pin the dependencies anew (needs a registry)
	@$(BIN)/pip-compile $(LOCK) --extra sandbox --extra dev -o requirements.lock pyproject.toml
	@$(BIN)/pip-compile $(LOCK) -c requirements.lock -o requirements.controller.lock pyproject.toml

clean: ## Remove what the targets made
	@rm -rf $(VENV) .cache .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis
