# Berth's commands. Each sets up what it needs: .venv in this folder and, as root, the Debian packages named below.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := allocator speaker crds kube cli lab
PY_SOURCES := $(PACKAGES) tests bench packages
JOBS ?= 2
PYTEST = $(BIN)/python -m pytest
UNCACHED = $(PYTEST) -p no:cacheprovider
# Each run of `make test` notes here that it failed, and what.
FAILED := .pytest_cache
NOTED = -o cache_dir=$(FAILED)/$(1) $(2) || touch $(FAILED)/$(1).failed
SIDE_BY_SIDE = $(MAKE) --no-print-directory --jobs=$(JOBS) --output-sync
UNIT = $(UNCACHED) -q --hypothesis-profile=quick -m "not root and not slow and not lab"
ROOT := -m "(root or lab) and not alone"
# Gives way to tests that wait for real timers: they find a machine that is as good as idle.
FULL = nice -n 10 $(PYTEST) -m "not root and not lab"
# The two distributions: what the image needs, and the lab with the benchmarks.
BERTH := pyproject.toml
BERTH_LAB := packages/lab/pyproject.toml
# Tests and the lab start many processes: without bytecode each of them would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=

# Debian package and a command that it brings: installed only when the command is missing. First what the demo and the
# lab need, and then what else tests need.
DEBIAN_DEMO := python3-venv:- iproute2:ip nftables:nft util-linux:unshare bird2:bird curl:curl
DEBIAN := $(DEBIAN_DEMO) iputils-ping:ping iputils-arping:arping procps:pgrep spin:spin build-essential:gcc frr:vtysh \
	gobgpd:gobgpd prometheus:promtool lua5.1:lua5.1 chromium:chromium jq:jq

# What builds the image.
IMAGE_DEBIAN := mmdebstrap:mmdebstrap buildah:buildah
ARCH ?= $(shell dpkg --print-architecture)

.PHONY: help setup image demo test check bench format lint types imports unit manifests lock clean docs site spelling

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.ready ## .venv with everything in it, and the Debian packages

$(VENV)/.ready: requirements-dev.lock $(BERTH) $(BERTH_LAB) tools/setup
	tools/setup "$(PYTHON)" "$(VENV)" requirements-dev.lock $(DEBIAN)
	@touch $@ $(VENV)/.demo

# What runs, and the lab: a third of all.
$(VENV)/.demo: requirements-demo.lock $(BERTH) $(BERTH_LAB) tools/setup
	@tools/setup "$(PYTHON)" "$(VENV)" requirements-demo.lock $(DEBIAN_DEMO)
	@touch $@

demo: $(if $(wildcard $(VENV)/.ready),setup,$(VENV)/.demo) ## the main job in the lab, told as it happens
	$(BIN)/python -m lab.demo

# What starts processes mostly waits for them; beside it runs, nicely, what needs nothing but the processor. What judges
# times to tenths of a second comes last, with nothing beside it: docs/decisions/023-tests-side-by-side.md.
test: setup $(VENV)/.ready-image ## all tests
	@rm -rf $(FAILED); mkdir $(FAILED); \
	$(SIDE_BY_SIDE) image-of-tests full-others full-allocator full-lab full-speaker root-speaker root-beside & beside=$$!; \
	trap "kill $$beside 2> /dev/null || true" EXIT; \
	$(PYTEST) $(call NOTED,root-rest,$(TESTS_rest) $(ROOT)); \
	wait $$beside; \
	$(PYTEST) $(call NOTED,alone,-m alone); \
	tools/again $(FAILED) -- $(PYTEST)

# Some of the quick tests wait for real time.
check: JOBS := 4
check: setup ## what must be green before a commit, under a minute
	@$(SIDE_BY_SIDE) unit-speaker unit-others unit-allocator types site unit-lab imports manifests-check spelling format-check lint

docs: site ## the documents as a site, in dist/site
	@echo "built: dist/site/index.html; to look at it: python3 -m http.server --directory dist/site"

# Each fault that its builder finds ends it.
site: setup
	$(BIN)/python tools/site

spelling: setup
	$(BIN)/codespell README.md CONTRIBUTING.md docs charts $(PACKAGES)

image: $(VENV)/.ready-image ## the container image: in buildah's storage, and dist/berth-VERSION-ARCH.tar (ARCH=arm64, BASE=IMAGE)
	$(BIN)/python tools/image --arch=$(ARCH) --base=$(BASE)

.PHONY: image-again
image-again: image ## build it a second time from nothing, and compare the bits; for every night
	@rm -rf build/image-again
	BERTH_IMAGE_WORK=build/image-again $(BIN)/python tools/image --arch=$(ARCH) --base=$(BASE) \
		--archive=build/image-again/berth.tar
	cmp dist/berth-$$(tools/version --print)-$(ARCH).tar build/image-again/berth.tar

.PHONY: image-of-tests
image-of-tests: $(VENV)/.ready-image
	@SOURCE_DATE_EPOCH=0 nice -n 10 $(BIN)/python tools/image --archive=build/image/tests.tar > /dev/null || \
		echo "the image was not built: its own tests say why" >&2

# Not what the lab needs.
$(VENV)/.ready-image: requirements-demo.lock $(BERTH) $(BERTH_LAB) tools/setup
	@tools/setup "$(PYTHON)" "$(VENV)" requirements-demo.lock python3-venv:- $(IMAGE_DEBIAN)
	@touch $@

# Tools of a release: locked like all others, and in a folder of their own, since nothing else needs them.
RELEASE_BIN := $(VENV)/release/bin
$(VENV)/release/.ready: requirements-release.lock $(VENV)/.ready-image
	$(PYTHON) -m venv $(VENV)/release
	$(RELEASE_BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements-release.lock
	@touch $@

.PHONY: release audit
release: ## all that is published with a version: make release VERSION=1.2.3
	@$(PYTHON) tools/release --may $(VERSION)
	@$(MAKE) --no-print-directory $(VENV)/release/.ready
	$(RELEASE_BIN)/python tools/release $(VERSION)

audit: $(VENV)/release/.ready ## compare what the image brings with known vulnerabilities; for every night
	$(RELEASE_BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

.PHONY: version
version: ## the version
	@tools/version --print

.PHONY: model model-nightly
model: setup ## check the release protocol's models with spin: every state, and every rule left out
	tools/model

.PHONY: sim
SEEDS ?= 1-1000
sim: setup ## live clusters in virtual time, from seeds: SEEDS=1-10000 is for a night
	$(VENV)/bin/python -m tests.sim --seeds $(SEEDS) --jobs $$(nproc)

model-nightly: setup ## the same for larger clusters, as far as bitstate hashing goes
	tools/model --nightly --jobs 1 --seconds 7200

MINUTES ?= 3
.PHONY: soak
soak: setup ## a whole lab under random faults, judged from outside: make soak MINUTES=60 SOAK="--seed 1"
	$(BIN)/python -m bench.soak --minutes $(MINUTES) $(SOAK)

SECONDS ?= 600
.PHONY: fuzz mutations-nightly
fuzz: setup $(VENV)/fuzz/.ready ## strange input for every decoder of what others send: make fuzz SECONDS=3600
	PYTHONPATH=$(VENV)/fuzz $(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# A fuzzer that looks at coverage, in a folder of its own: nothing else needs it, and it has 60 MB. Without it there is
# strange input too, made at random.
$(VENV)/fuzz/.ready: | setup
	mkdir -p $(VENV)/fuzz
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes --no-deps --target $(VENV)/fuzz \
		-r requirements-fuzz.lock || echo "atheris can't be installed: input is changed at random" >&2
	@touch $@

mutations-nightly: setup ## plant each fault, and look for it with 200 seeds of the simulation
	$(BIN)/python -m tests.mutations --seeds 200 --keep

bench: setup ## the benchmarks, or those named after it: JSON lines on stdout
	$(BIN)/python -m bench $(BENCHMARKS)

# `make bench scale arp`: what follows are names of benchmarks, not targets.
ifeq ($(firstword $(MAKECMDGOALS)),bench)
BENCHMARKS := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
ifneq ($(BENCHMARKS),)
.PHONY: $(BENCHMARKS)
$(BENCHMARKS): bench ; @:
endif
endif

format: setup ## format the code
	$(BIN)/ruff format $(PY_SOURCES)
	$(BIN)/ruff check --fix-only -q $(PY_SOURCES)

.PHONY: definitions
definitions: dist/crds.yaml ## the definitions in one file, dist/crds.yaml, to apply before or without the chart
dist/crds.yaml: $(wildcard charts/berth/files/crds/*.yaml)
	@mkdir -p dist
	@for each in $^; do echo ---; cat $$each; done > $@

.PHONY: format-check manifests-check
format-check: setup
	$(BIN)/ruff format --check -q $(PY_SOURCES)

lint: setup
	$(BIN)/ruff check -q $(PY_SOURCES)

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

unit: setup ## unit and property tests, with few examples
	@$(SIDE_BY_SIDE) unit-speaker unit-others unit-allocator unit-lab

# Each reads the modules of its own tests alone: to read them all takes a worker of pytest a third of its time.
TESTS_speaker := tests/speaker
TESTS_lab := tests/lab tests/protocol
TESTS_allocator := tests/allocator tests/kube
# Clusters that a second one beside them does not disturb.
TESTS_beside := $(addprefix tests/,e2e/test_image.py e2e/test_scrapes.py e2e/test_soak.py docs charts)
TESTS_rest := tests $(addprefix --ignore=,tests/speaker $(TESTS_beside))
TESTS_others := tests $(addprefix --ignore=,$(TESTS_speaker) $(TESTS_lab) $(TESTS_allocator))
unit-%: setup
	$(UNIT) $(TESTS_$*)
root-%: setup
	$(PYTEST) $(call NOTED,$@,$(TESTS_$*) $(ROOT))
full-%: setup
	$(FULL) $(call NOTED,$@,$(TESTS_$*))

manifests: setup ## write the CRD manifests and generated documents again
	$(BIN)/python -m crds
	$(BIN)/python tools/architecture
	$(BIN)/python tools/metrics
	$(BIN)/python tools/dashboards
	$(BIN)/python tools/values
	$(BIN)/python tools/version

manifests-check: setup
	$(BIN)/python -m crds --check
	$(BIN)/python tools/architecture --check
	$(BIN)/python tools/metrics --check
	$(BIN)/python tools/dashboards --check
	$(BIN)/python tools/values --check
	$(BIN)/python tools/version --check

RELEASE_TOOLS := cyclonedx-bom hatchling pip-audit
PIP_COMPILE = $(VENV)/lock/bin/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --allow-unsafe --strip-extras --no-header
lock: setup ## resolve the dependencies again and write the lock files
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install -q pip-tools
	$(PIP_COMPILE) -o requirements.lock $(BERTH)
	printf '%s\n' $(RELEASE_TOOLS) | $(PIP_COMPILE) -o requirements-release.lock -
	echo atheris | $(PIP_COMPILE) -o requirements-fuzz.lock -
	tools/requirements --extras $(BERTH) $(BERTH_LAB) | $(PIP_COMPILE) -o requirements-dev.lock -
	{ tools/requirements $(BERTH) $(BERTH_LAB); echo hatchling; echo editables; } | \
		$(PIP_COMPILE) -c requirements-dev.lock -o requirements-demo.lock -
	sed -i 's/-r -$$/a pyproject.toml/' requirements-dev.lock requirements-demo.lock

clean: ## remove what was made here
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build .lab .model
