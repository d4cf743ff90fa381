# stepkit: `make demo` shows the whole of it on real models, `make test` checks it.
# Both build the environment in .venv first; nothing else is touched outside build/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/ready
POLICY := samples/models/policy.gguf
PRM := samples/models/prm.gguf
DEMO := build/demo
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help demo experiment gsm8k check lint test coverage torture vocabularies golden models bench interop clean

help:  ## this list
	@grep -hE '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /  make \1\t/' | expand -t 16

# ---- the environment ------------------------------------------------------------------------

define MISSING
import shutil, sys
def need(good, what):
    if not good: sys.exit("stepkit: missing: " + what)
need(sys.version_info >= (3, 10), "Python 3.10 or newer (this is %d.%d); try make PYTHON=python3.12" % sys.version_info[:2])
try: import ensurepip, venv
except ImportError: need(False, "Python's venv module (Debian: apt install python3-venv)")
need(shutil.which("cc") or shutil.which("gcc") or shutil.which("clang"), "a C compiler (Debian: apt install build-essential)")
need(shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"), "a C++ compiler (Debian: apt install build-essential)")
endef
export MISSING

# What makes AMX safe: compilers take the stores to the configuration of its tiles for dead.
# pip would take a wheel that it built before with other flags, so this build has a wheel of its own.
# Only when asked (make AMX=1 demo): the tests have not yet run on it as a whole.
AMX ?=
AMX_FLAGS := -fno-tree-dse -fno-dse
LLAMA := $(shell sed -n 's/^llama-cpp-python==//p' tests/constraints.txt)
SAFE_WHEEL := build/wheels/llama_cpp_python-$(LLAMA)-*.whl
define AMX_WHEEL
CMAKE_ARGS='-DCMAKE_C_FLAGS="$(AMX_FLAGS)" -DCMAKE_CXX_FLAGS="$(AMX_FLAGS)"' \
  $(VENV)/bin/python -m pip wheel --verbose --disable-pip-version-check --no-deps --no-cache-dir \
  --no-binary llama-cpp-python -w build/wheels llama-cpp-python==$(LLAMA)
endef

# one line that counts the files compiled, of pip's thousands
define PROGRESS
match($$0, /^ *\[[0-9]+\/[0-9]+\]/) {
  split(substr($$0, RSTART, RLENGTH), n, /[^0-9]+/); share = int(10 * n[2] / n[3])
  if (share != last) { printf "  llama.cpp: %s of %s files compiled\n", n[2], n[3]; fflush(); last = share }
}
/^Successfully installed/ { print "  installed" }
endef
export PROGRESS

$(READY): pyproject.toml tests/constraints.txt $(wildcard man/*.[137])
	@command -v $(PYTHON) >/dev/null || { echo "stepkit: missing: $(PYTHON)" >&2; exit 1; }
	@$(PYTHON) -c "$$MISSING"
	@printf '#include <vector>\nint main() { return 0; }\n' | c++ -x c++ - -o /dev/null 2>/dev/null || \
	  { echo "stepkit: missing: C++ headers (Debian: apt install build-essential)" >&2; exit 1; }
	@mkdir -p build
	@echo "Building the environment in $(VENV). llama.cpp is compiled once: some five minutes on 2 cores."
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@if test -n '$(AMX)' && ! ls $(SAFE_WHEEL) >/dev/null 2>&1; then \
	  echo "With AMX, made safe."; \
	  { $(AMX_WHEEL); } 2>&1 | tee build/wheel.log | awk "$$PROGRESS" \
	    || echo "stepkit: that failed (build/wheel.log); llama.cpp is built as usual" >&2; \
	fi
	@if ls $(SAFE_WHEEL) >/dev/null 2>&1; then \
	  $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(SAFE_WHEEL) || true; \
	fi
	@$(VENV)/bin/python -m pip install --verbose --disable-pip-version-check -c tests/constraints.txt -e '.[dev]' 2>&1 \
	  | tee build/install.log | awk "$$PROGRESS" \
	  || { tail -n 20 build/install.log >&2; echo "stepkit: the installation failed; all of it is in build/install.log" >&2; exit 1; }
	@echo "Compiling the kernels."
	@$(VENV)/bin/python -c 'from stepkit.core import tree; from stepkit.model.local import token_sampling; tree.compile_kernels(); token_sampling.warm()'
	@touch $@

# ---- the demonstration: one rule an arrow ---------------------------------------------------

demo: $(READY)  ## the whole pipeline on the shipped models, ending in a table
	@$(MAKE) --no-print-directory $(DEMO)/table.txt $(DEMO)/chosen.jsonl $(DEMO)/pairs.jsonl
	@echo; cat $(DEMO)/table.txt
	@echo; echo "Preference pairs from rollouts: $$(wc -l < $(DEMO)/pairs.jsonl), the first:"; head -n 1 $(DEMO)/pairs.jsonl

$(DEMO)/attempts.jsonl: samples/problems.jsonl $(POLICY)
	@mkdir -p $(@D)
	step-rollout $< -m $(POLICY) --method sample -k 8 --max-tokens 128 | step-split -o $@

$(DEMO)/scored.jsonl: $(DEMO)/attempts.jsonl $(PRM)
	step-score $< --prm $(PRM) -o $@

$(DEMO)/chosen.jsonl: $(DEMO)/scored.jsonl
	step-rerank $< --by weighted -o $@

$(DEMO)/evidence.jsonl: $(DEMO)/attempts.jsonl $(POLICY)
	step-rollout $< --limit 80 -m $(POLICY) -k 8 --max-tokens 128 -o $@

$(DEMO)/labels.jsonl: $(DEMO)/evidence.jsonl
	step-label $< -o $@

$(DEMO)/pairs.jsonl: $(DEMO)/labels.jsonl
	step-pairs $< --to trl-dpo --conversational -o $@

$(DEMO)/table.txt: $(DEMO)/scored.jsonl
	step-eval $< --k 1,8 --against single --against majority --table -o $@

# ---- the experiment: searches and choices at equal tokens --------------------------------------

EXPERIMENT := build/experiment
PROBLEMS ?= 300
DRAW := step-rollout -q -t 1 -m $(POLICY) --max-tokens 96
READ := step-score -q -t 1 --prm $(PRM)
CHOICES := $(foreach method,sample beam dvts particle refined,$(addprefix $(method).,best weighted))

experiment: $(READY)  ## ways to spend the same tokens, into samples/experiment.txt (PROBLEMS=300)
	@$(MAKE) --no-print-directory $(patsubst %,$(EXPERIMENT)/%.jsonl,sample.majority $(CHOICES))
	@{ echo "make experiment PROBLEMS=$(PROBLEMS), on commit $$(git describe --always --dirty --exclude '*')"; \
	  echo; python samples/guided.py $(EXPERIMENT) $(EXPERIMENT)/problems.jsonl; } > build/experiment.txt
	@mv build/experiment.txt samples/experiment.txt
	@cat samples/experiment.txt

$(EXPERIMENT)/problems.jsonl: samples/problems.jsonl
	@mkdir -p $(@D)
	head -n $(PROBLEMS) $< > $@

$(EXPERIMENT)/sample.jsonl: $(EXPERIMENT)/problems.jsonl $(POLICY) $(PRM)
	$(DRAW) --method sample -k 17 $< | step-split -q | $(READ) -o $@

$(EXPERIMENT)/first.jsonl: $(EXPERIMENT)/problems.jsonl $(POLICY) $(PRM)
	$(DRAW) --method sample -k 7 $< | step-split -q | $(READ) -o $@

$(EXPERIMENT)/refined.jsonl: $(EXPERIMENT)/first.jsonl $(POLICY) $(PRM)
	step-label -q --first below:0.5 $< | $(DRAW) --at first -k 3 | step-split -q | $(READ) -o $@

$(EXPERIMENT)/beam.jsonl $(EXPERIMENT)/dvts.jsonl $(EXPERIMENT)/particle.jsonl: $(EXPERIMENT)/%.jsonl: $(EXPERIMENT)/problems.jsonl $(POLICY) $(PRM)
	$(DRAW) --method $* --prm $(PRM) $< -o $@

$(EXPERIMENT)/%.traces: $(EXPERIMENT)/%.jsonl
	step-split -q --leaves $< > $@

$(EXPERIMENT)/sample.traces $(EXPERIMENT)/refined.traces: $(EXPERIMENT)/%.traces: $(EXPERIMENT)/%.jsonl
	ln -f $< $@

$(foreach rule,majority best weighted,$(eval $(EXPERIMENT)/%.$(rule).jsonl: $(EXPERIMENT)/%.traces ; step-rerank -q --by $(rule) $$< -o $$@))

# ---- a real model on GSM8K: attempts, votes, first errors, pairs, a page --------------------------

GSM := build/gsm8k/$(basename $(notdir $(MODEL)))
K ?= 8
N ?= 300
CHAINS ?= 8
GSM_SYSTEM := Please reason step by step, and put your final answer within \boxed{}.
GSM_DRAW = step-rollout $(if $(wildcard $@.journal),--resume) -m $(MODEL) --system '$(GSM_SYSTEM)' \
  --temperature 0.7 --max-tokens 400
GSM_CHOICES := --curves pass,majority,best,weighted --k 1,$(K) --score self-certainty --score logprob \
  --aggregate total --map rank:p=1 --against single --against majority

gsm8k: $(READY)  ## a model on grade-school problems (MODEL=FILE PROBLEMS=FILE K=8 N=300 CHAINS=8)
	@test -f '$(MODEL)' && test -f '$(PROBLEMS)' || \
	  { echo "usage: make gsm8k MODEL=model.gguf PROBLEMS=gsm8k-test.jsonl [K=8] [N=300] [CHAINS=8]" >&2; exit 2; }
	@$(MAKE) --no-print-directory $(GSM)/page.html $(GSM)/report.txt
	@cat $(GSM)/report.txt

# A run that was stopped goes on where it was, from its journal; .seconds has a line for each start.
TIMED = start=$$SECONDS; trap 'echo $$((SECONDS - start)) >> $(basename $@).seconds' EXIT

$(GSM)/problems.jsonl: $(PROBLEMS)
	@mkdir -p $(@D)
	head -n $(N) $< > $@

$(GSM)/attempts.jsonl: $(GSM)/problems.jsonl $(MODEL)
	$(TIMED); $(GSM_DRAW) --method sample -k $(K) --keep-confidence $< -o $@

$(GSM)/scored.jsonl: $(GSM)/attempts.jsonl
	step-split $< | step-score --kept --by self-certainty | step-score --kept --by logprob -o $@

# the first attempt at each of so many problems
$(GSM)/evidence.jsonl: $(GSM)/scored.jsonl $(MODEL)
	awk 'NR % $(K) == 1' $< | head -n $(CHAINS) > $(@D)/first.jsonl
	$(TIMED); $(GSM_DRAW) -k 4 $(@D)/first.jsonl -o $@

$(GSM)/labels.jsonl: $(GSM)/evidence.jsonl
	step-label $< -o $@

$(GSM)/pairs.jsonl: $(GSM)/labels.jsonl
	step-pairs $< --to trl-dpo --conversational -o $@

$(GSM)/page.html: $(GSM)/labels.jsonl
	step-view $< -o $@

$(GSM)/votes.txt: $(GSM)/scored.jsonl
	step-eval $< $(GSM_CHOICES) --plot $(@D)/curves.svg --table -o $@

$(GSM)/report.txt: $(GSM)/votes.txt $(GSM)/pairs.jsonl samples/gsm8k.py
	{ echo "make gsm8k MODEL=$(notdir $(MODEL)) PROBLEMS=$(notdir $(PROBLEMS)) K=$(K) N=$(N) CHAINS=$(CHAINS)," \
	  "on commit $$(git describe --always --dirty --exclude '*')," \
	  "$$(nproc) cores of$$(sed -n 's/^model name[^:]*://p' /proc/cpuinfo | head -n 1)"; \
	  echo; python samples/gsm8k.py $(@D); echo; cat $<; } > $@

# ---- checks ---------------------------------------------------------------------------------

check: lint test coverage  ## everything that CI runs

lint: $(READY)  ## ruff and mypy
	ruff check stepkit tests samples
	ruff format --check stepkit tests samples
	mypy

# A worker steals tests from another's end, so that what a file makes once is mostly made once.
PYTEST := python -m pytest -n auto --dist worksteal

test: $(READY)  ## the tests, the same ones every time (SLOW=20 lists the slowest twenty)
	$(PYTEST) $(if $(SLOW),--durations=$(SLOW))

# The core is pure: its own tests reach it, without a command or a model.
coverage: export COVERAGE_FILE := $(CURDIR)/build/coverage/data
coverage: $(READY)  ## the lines of the core that no test of it reaches; fewer than 5 in 100
	@mkdir -p build/coverage
	$(PYTEST) --cov=stepkit.core --cov-fail-under=95 tests/core

# What it finds becomes an @example of its test, in the same commit as what mends it: `make test`
# draws the same examples every time, and tries those first.
torture: $(READY)  ## fresh examples, ten times as many, and failures at every system call
	$(PYTEST) --hypothesis-profile=torture -m "hypothesis or torture"

VOCABULARIES := build/vocabularies/ggml-vocab-qwen2.gguf

vocabularies: $(VOCABULARIES)  ## real vocabularies for the tests of profiles (a download of 75 MB)

$(VOCABULARIES): tests/helpers/vocabularies.py | $(READY)
	$(VENV)/bin/python $<

# These measure on real files and models: FILE="a.jsonl b.jsonl" MODEL=model.gguf
REAL := stop_at_answer real_search sibling_drafts
BENCHES ?= $(sort $(filter-out $(if $(FILE),,$(REAL)),$(basename $(notdir $(wildcard tests/bench/*.py)))))
export FILE MODEL

bench: $(READY)  ## measure what the manuals claim, into tests/bench/results (BENCHES="engine ...")
	@mkdir -p build tests/bench/results
	@for name in $(BENCHES); do \
	  echo "tests/bench/$$name.py"; \
	  { echo "make bench BENCHES=$$name, on commit $$(git describe --always --dirty --exclude '*')," \
	    "$$(nproc) cores of$$(sed -n 's/^model name[^:]*://p' /proc/cpuinfo | head -n 1)"; \
	    echo; python tests/bench/$$name.py; } > build/$$name.txt; \
	  mv build/$$name.txt tests/bench/results/$$name.txt; \
	done

golden: $(READY)  ## rewrite the golden cases; review them with git diff
	STEPKIT_GOLDEN=write python -m pytest tests/test_golden.py tests/test_columns_table.py

models: $(READY)  ## train the shipped models again (about an hour on 2 cores)
	$(VENV)/bin/python -m pip install --quiet -e '.[train]'
	$(MAKE) -C samples models

# ---- refinement: draft, find the doubtful step, draw again ------------------------------------

REFINED := build/refine

.PHONY: refine
refine: $(READY)  ## two published loops of refinement on the shipped models, and what they gain
	@$(MAKE) --no-print-directory $(patsubst %,$(REFINED)/%.jsonl,drafts stepco glore)
	@for name in drafts stepco glore; do \
	  printf '%-8s %s of %s right\n' $$name "$$(grep -c '"correct":true' $(REFINED)/$$name.jsonl)" \
	    "$$(wc -l < $(REFINED)/$$name.jsonl)"; \
	done

$(REFINED)/drafts.jsonl: samples/problems.jsonl $(POLICY)
	@mkdir -p $(@D)
	step-rollout $< -m $(POLICY) --method sample -k 1 --max-tokens 96 -o $@

$(REFINED)/stepco.jsonl $(REFINED)/glore.jsonl: $(REFINED)/%.jsonl: samples/%.sh $(REFINED)/drafts.jsonl $(PRM)
	$< $(POLICY) $(PRM) < $(REFINED)/drafts.jsonl > $@

# ---- the rows in the trainers' own hands: an environment of its own, never part of the tests ----

INTEROP := build/interop
TRAINERS := $(CURDIR)/$(INTEROP)/venv/bin/python

$(INTEROP)/ready: tests/interop/requirements.txt tests/interop/trainers.txt
	@mkdir -p $(@D)
	test -x $(TRAINERS) || $(PYTHON) -m venv $(INTEROP)/venv
	$(TRAINERS) -m pip install --quiet -r tests/interop/requirements.txt
	$(TRAINERS) -m pip install --quiet --no-deps -r tests/interop/trainers.txt
	$(TRAINERS) -m pip install --quiet --no-deps --upgrade --target $(INTEROP)/trl-prm trl==1.13.0
	@touch $@

$(INTEROP)/labels.jsonl: samples/traces.jsonl $(POLICY)
	@mkdir -p $(@D)
	step-split $< | step-rollout -m $(POLICY) -k 6 --max-tokens 128 --limit 24 | step-label -o $@

interop: $(READY) $(INTEROP)/ready $(INTEROP)/labels.jsonl  ## our rows in TRL and other trainers (a GB of downloads)
	cd tests/interop && PYTHONPATH=. $(TRAINERS) -m pytest -q -p harness -p no:cacheprovider --confcutdir=. \
	  -W ignore trl_trainers.py other_trainers.py

clean:  ## remove what the demonstration made
	rm -rf build
