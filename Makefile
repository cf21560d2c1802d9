# The front door. `make preprocess` and `make test` install what they need into .venv; nothing else is assumed but
# Python >= 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Without --quiet: an installation takes a minute or more, and says what it does.
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --only-binary=:all: -c .ci/constraints.txt

.PHONY: help setup preprocess verify lm tokenizer train generate serve evaluate-bpb plot analyze reproduce plan \
	test bench gpu-check soak check fmt clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(VENV)/.runtime  ## install the run-time dependencies into .venv

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) $$($(BIN)/python .ci/requirements.py)
	touch $@

$(VENV)/.dev: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) $$($(BIN)/python .ci/requirements.py dev)
	touch $@ $(VENV)/.runtime

# RECIPE=paper takes what is not given here from docs/examples/paper (docs/paper-recipe.md).
CONFIG = $(if $(RECIPE),--config docs/examples/$(RECIPE)/$(1).json)

# Every variable below is an option of `python -m pipeline preprocess`; --help explains it with unit and default.
OUTPUT ?= data/stdlib
PREPROCESS_OPTIONS = --output $(OUTPUT) $(call CONFIG,preprocess) \
	$(if $(INPUT),--input $(INPUT)) $(if $(SHARDS),--shards $(SHARDS)) $(if $(COMPRESSORS),--compressors $(COMPRESSORS)) \
	$(if $(COMPRESSORS_OF),--compressors-of $(COMPRESSORS_OF)) \
	$(if $(LM),--lm $(LM)) $(if $(TOKENIZER),--tokenizer $(TOKENIZER)) $(if $(THETA),--theta $(THETA)) \
	$(if $(BOUNDARY_SCORE),--boundary-score $(BOUNDARY_SCORE)) $(if $(CONTEXT),--context $(CONTEXT)) \
	$(if $(SCORE_CONTEXT_BYTES),--score-context-bytes $(SCORE_CONTEXT_BYTES)) \
	$(if $(SAMPLE_BYTES),--sample-bytes $(SAMPLE_BYTES)) $(if $(WORKERS),--workers $(WORKERS)) \
	$(if $(DEVICE),--device $(DEVICE)) $(if $(RUNNER),--runner $(RUNNER)) $(ARGS)

preprocess: $(VENV)/.runtime  ## a corpus (default: this Python's standard library) becomes Arrow shards
	$(BIN)/python -m pipeline preprocess $(PREPROCESS_OPTIONS)

verify: $(VENV)/.runtime  ## decode every document of OUTPUT and compare it with raw
	$(BIN)/python -m pipeline verify $(OUTPUT) $(ARGS)

LM_NAME = $(or $(SIZE),$(RECIPE),tiny)
lm: $(VENV)/.runtime  ## train a byte LM (SIZE=tiny|40m) on a sample of INPUT into models/lm-SIZE
	$(BIN)/python -m pipeline sample $(if $(INPUT),--input $(INPUT)) $(if $(SAMPLE_BYTES),--sample-bytes $(SAMPLE_BYTES)) \
		--out models/lm-$(LM_NAME)/sample.arrow
	$(LAUNCH) -m trainer lm --sample models/lm-$(LM_NAME)/sample.arrow --out models/lm-$(LM_NAME) \
		$(call CONFIG,lm) $(if $(SIZE),--size $(SIZE)) $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

VOCAB ?= 8192
tokenizer: $(VENV)/.runtime  ## train a SentencePiece tokenizer of VOCAB pieces on a sample of INPUT
	$(BIN)/python -m pipeline tokenizer $(if $(INPUT),--input $(INPUT)) $(if $(SAMPLE_BYTES),--sample-bytes $(SAMPLE_BYTES)) \
		--vocabulary $(VOCAB) --out models/tokenizer-$(VOCAB).model

# Where nothing says what is trained: the demonstration, a small model on short pieces of the standard library, with the
# settings of docs/examples/demo. Its pieces take the byte LM of `make preprocess`, where that has been run.
DEMO := $(if $(SIZE)$(RECIPE)$(DATA)$(RUN),,demo)
DEMO_LM = $(patsubst %,--lm %,$(wildcard data/stdlib/compressors/lm-tiny))
TRAIN_DATA = $(if $(DEMO),data/demo,$(DATA))
TRAIN_CONFIG = $(if $(DEMO),--config docs/examples/demo/train.json,$(call CONFIG,train))
NAME = $(or $(SIZE),$(RECIPE),$(DEMO),tiny)

# NPROC > 1, or TORCHRUN='--nnodes 2 --rdzv-endpoint …', starts torchrun.
DATA ?= data/stdlib
RUN ?= runs/$(addsuffix -,$(filter-out proxy,$(ARM)))$(NAME)
NPROC ?= 1
# On SIGTERM torchrun kills its processes after this time, so it must suffice for a micro-batch and a checkpoint.
SHUTDOWN_SECONDS ?= 900
# A store for each attempt: torchrun's one for all would be looked for on the first node of an attempt of before.
LAUNCH = $(if $(filter-out 1,$(NPROC))$(TORCHRUN),TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 \
	$(BIN)/torchrun --nproc-per-node $(NPROC) --shutdown-timeout $(SHUTDOWN_SECONDS) $(TORCHRUN),$(BIN)/python)
train: $(VENV)/.runtime  ## train EvaByte (SIZE=pico|nano|micro|tiny|mini|small|medium|0.5b|1.5b|4b|7b|14b, ARM=proxy|bytes|tokens|gzip) on DATA into RUN
	$(if $(DEMO),$(BIN)/python -m pipeline preprocess --output $(TRAIN_DATA) --config docs/examples/demo/preprocess.json $(DEMO_LM))
	$(LAUNCH) -m trainer train --data $(TRAIN_DATA) --out $(RUN) $(TRAIN_CONFIG) $(if $(SIZE),--size $(SIZE)) \
		$(if $(ARM),--arm $(ARM)) $(if $(COMPRESSOR),--compressor $(COMPRESSOR)) $(if $(MODE),--mode $(MODE)) $(if $(STEPS),--steps $(STEPS)) $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

PROMPT ?= def
export PROMPT
generate: $(VENV)/.runtime  ## continue PROMPT with the model of RUN: raw bytes in, raw bytes out
	$(BIN)/python -m trainer generate $(RUN) --prompt "$$PROMPT" $(if $(DEMO),--temperature 0.7) $(ARGS)

HOST ?= 127.0.0.1
PORT ?= 8000
serve: $(VENV)/.runtime  ## answer completions over HTTP with the model of RUN, in the OpenAI form, at HOST:PORT
	$(PIP_INSTALL) $$($(BIN)/python .ci/requirements.py serve)
	$(BIN)/python -m trainer serve $(RUN) --host $(HOST) --port $(PORT) $(ARGS)

evaluate-bpb: $(VENV)/.runtime  ## bits per raw byte of RUN on the held-out documents of DATA
	$(BIN)/python -m trainer evaluate bpb $(RUN) --data $(TRAIN_DATA) $(ARGS)

# RUNS: several runs in one picture.
RUNS ?= $(RUN)
plot: $(VENV)/.runtime  ## draw loss and held-out bits of RUN, or of RUNS='a b …', as curves.png in the first of them
	$(PIP_INSTALL) $$($(BIN)/python .ci/requirements.py plot)
	$(BIN)/python -m trainer plot $(RUNS) $(ARGS)

analyze: $(VENV)/.runtime  ## stability, collisions and statistics of DATA: tables and one page, DATA/analysis/report.html
	$(PIP_INSTALL) $$($(BIN)/python .ci/requirements.py analysis)
	$(BIN)/python -m pipeline analyze $(DATA) $(if $(TEXTS),--texts $(TEXTS)) $(ARGS)

# Short documents, so that rows hold both spellings, and alphabets that a tiny model can learn. The byte LM is DATA's.
# The corpus is the standard library without its tests and data; the datasets beside PIECES cut or split it otherwise.
SCALE ?= cpu
PIECES ?= data/pieces$(if $(filter gpu,$(SCALE)),-gpu)
STDLIB = $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_paths()['stdlib'])")
MODULES = asyncio collections concurrent ctypes curses dbm distutils email http idlelib importlib json lib2to3 logging \
	multiprocessing sqlite3 tkinter unittest urllib wsgiref xml xmlrpc
PIECES_INPUT = $(or $(INPUT),'$(STDLIB)/*.py' $(wildcard $(addprefix $(STDLIB)/,$(MODULES))))
PIECES_FROM = $(BIN)/python -m pipeline preprocess --input $(PIECES_INPUT) --shards 4 --unit-bytes 1000000 \
	--lm $(or $(LM),$(DATA)/compressors/lm-tiny) $(if $(filter gpu,$(SCALE)),--device cuda,--window-bits 12)
PIECES_WHOLE = $(PIECES_FROM) --split-bytes $(if $(filter gpu,$(SCALE)),1024,96)
PIECES_CUT = $(PIECES_WHOLE) --compressors neural --max-segment-bytes 255
PIECES_SHORT = $(PIECES_FROM) --split-bytes 24 --compressors neural,tokenizer --tokenizer $(PIECES_TOKENIZER)
PIECES_TOKENIZER = $(PIECES)/compressors/tokenizer/tokenizer.model
BY_ENTROPY = --boundary-score document_entropy --theta quantile=0.9
UNLESS_SMOKE = $(if $(filter-out smoke,$(SCALE)),$(1))
MINUTES ?= 0
reproduce: $(VENV)/.runtime  ## the paper's ablations at SCALE=cpu|gpu|smoke into docs/reproduction.md, MINUTES at a time; after make analyze
	$(PIP_INSTALL) $$($(BIN)/python .ci/requirements.py plot)
	$(PIECES_WHOLE) --tokenizer-vocabulary $(if $(filter gpu,$(SCALE)),32768,4096) --output $(PIECES)
	$(call UNLESS_SMOKE,$(PIECES_CUT) $(BY_ENTROPY) --output $(PIECES)-level)
	$(call UNLESS_SMOKE,$(PIECES_CUT) $(BY_ENTROPY) --jump quantile=0.9 --output $(PIECES)-jump)
	$(call UNLESS_SMOKE,$(PIECES_CUT) --theta mean_bytes=10 --output $(PIECES)-long)
	$(call UNLESS_SMOKE,$(PIECES_SHORT) --output $(PIECES)-short)
	$(BIN)/python -m pipeline reformat $(PIECES) --out $(PIECES)-formats.jsonl
	$(BIN)/python -m pipeline preprocess --input $(PIECES)-formats.jsonl --id-field id --output $(PIECES)-formats \
		--compressors tokenizer --tokenizer $(PIECES_TOKENIZER) --shards 1
	$(BIN)/python -m trainer reproduce --data $(PIECES) --corpus $(DATA) --scale $(SCALE) --formats $(PIECES)-formats \
		$(call UNLESS_SMOKE,--report docs/reproduction$(if $(filter gpu,$(SCALE)),-gpu).md \
		--results docs/reproduction$(if $(filter gpu,$(SCALE)),-gpu).jsonl) --minutes $(MINUTES) $(ARGS)

BYTES ?= 3.3e12
plan: $(VENV)/.runtime  ## hours, storage and requests for BYTES of corpus, from the rates measured with DATA
	$(BIN)/python -m pipeline plan --bytes $(BYTES) --dataset $(DATA) $(if $(GPUS),--gpus $(GPUS)) $(ARGS)

# A process per core, of at most four: each holds about a gigabyte and a half.
test: $(VENV)/.dev  ## the whole test suite
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(TESTS)

bench: $(VENV)/.dev  ## the figures of docs/benchmarks.md, each beside its yardstick, measured in one run
	$(BIN)/python -m tests.bench $(ARGS)

# Without .venv the machine's own Python does, since a rented one may have torch and no network. A missing package costs
# the rows that need it.
gpu-check:  ## every figure that a GPU has to show, in ten minutes of one: a table, and gpu-check.json (DEVICE=cpu: small)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m tests.gpu_check $(if $(DEVICE),--device $(DEVICE)) $(ARGS)

SOAK ?= kills items faults mutations files
soak: $(VENV)/.dev  ## 100 kills, 100,000 hostile items, full disks, damaged and crafted shards (SOAK names some of them)
	for kind in $(SOAK); do $(BIN)/python -m tests.soak $$kind $(ARGS) || exit 1; done

check: $(VENV)/.dev  ## ruff, the type checker and a spell checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

fmt: $(VENV)/.dev  ## format the code and wrap the documents
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m tests.docs.documents

clean:  ## remove .venv and caches; data and models stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
