# FaceSnap. `make demo` and `make test` need python3 (3.11 or newer) and make; nothing else.
# Everything is installed into .venv with the exact versions of constraints.txt, so .venv/bin/facesnap is the command.

PYTHON ?= python3
# On a PC without an NVIDIA card, PyTorch's index of CPU builds saves some gigabytes of CUDA libraries:
#   make demo TORCH_FLAGS="--extra-index-url ADDRESS" (the address is on PyTorch's install page)
TORCH_FLAGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
SOURCES := $(shell find src/facesnap -type f -not -name '*.pyc' -not -path '*/__pycache__*' 2>/dev/null)
PHOTO := examples/eileen_collins.jpg
SHEET := out/demo/contact_sheet.png
GL := libegl1 libgl1-mesa-dri libgles2

# $(call apt,PACKAGES): install Debian packages where we may (as root, with apt-get); fails elsewhere.
apt = { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq >/dev/null 2>&1 && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null 2>&1; }

MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.PHONY: help install demo test test-browser lint types contracts format gl clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r t d; do printf '%-18s %s\n' "$$t" "$$d"; done

install: $(VENV)/.stamp-core ## make .venv with FaceSnap and what it needs to run

demo: $(SHEET) ## portraits of a real photograph: three prompts, three poses, one contact sheet
	@echo "contact sheet: $(SHEET)"

test: $(VENV)/.stamp-dev gl lint types contracts ## everything that CI checks: style, types, imports, tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not browser"

test-browser: $(VENV)/.stamp-dev ## the studio in a real browser; screenshots go to out/browser
	@command -v chromium >/dev/null || $(call apt,chromium) || \
		echo "no Chromium (apt-get install chromium, as root): the browser's tests will be skipped"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

lint: $(VENV)/.stamp-dev ## style (ruff)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

types: $(VENV)/.stamp-dev ## types (mypy, strict)
	$(BIN)/python -m mypy

contracts: $(VENV)/.stamp-dev ## imports point one way (import-linter)
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.stamp-dev ## put the code into shape (ruff)
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

clean: ## remove what was made (not .venv)
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

distclean: clean ## remove .venv too
	rm -rf $(VENV)

# --- how it comes about ------------------------------------------------------------------------------------------

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "FaceSnap needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Install one and name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		$(call apt,$$package) || { \
		echo "$(PYTHON) can't make virtual environments yet: apt-get install $$package (as root), then again." >&2; \
		exit 1; }; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch comes first and alone, so that nothing else chooses its build.
$(VENV)/.stamp-core: pyproject.toml constraints.txt | $(VENV)/.stamp-venv
	@echo "installing into $(VENV) (a few minutes the first time)"
	$(PIP) setuptools
	$(PIP) $(TORCH_FLAGS) torch==2.13.0
	$(PIP) --no-build-isolation -e .
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-core
	$(PIP) --no-build-isolation -e '.[dev]'
	@touch $@

$(SHEET): $(VENV)/.stamp-core $(SOURCES) $(PHOTO)
	$(BIN)/facesnap demo --photo $(PHOTO) --output $(dir $@) >/dev/null

# Software OpenGL and the head model, for the portrait world's tests; they skip, and say so, where one is missing.
gl: $(VENV)/.stamp-dev ## what rendering needs: its extra and software OpenGL; says what is missing
	@dpkg -s $(GL) >/dev/null 2>&1 || $(call apt,$(GL)) || \
		echo "no software OpenGL ($(GL)): the portrait world's tests will be skipped"
	@$(BIN)/python -c 'from facesnap.world.facekit.head import find_head_file; find_head_file()' 2>/dev/null || \
		echo "no ICT-FaceKit head model (facesnap world fetch gets it): the portrait world's tests will be skipped"
