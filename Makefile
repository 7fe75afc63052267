# make demo     the first example, built twice and run            make test     the tests (root: all of them)
# make install  .venv/bin/boxship                                make check    lint, types, the architecture
# make bases    stand-ins for ubuntu:18.04 and alpine:edge       make bench    Boxship and its peers, side by side
#
# A fresh machine needs Python 3.11 or newer and make. PYTHON=/path/to/python chooses another one.

VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
SOURCES := $(shell find src -type f ! -name '*.pyc') scripts/boxship
# without the environment the stamps mean nothing
ifeq ($(wildcard $(BIN)/python),)
$(shell rm -rf $(STAMPS))
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help install demo bases test check bench clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -5

install: $(STAMPS)/package $(STAMPS)/dev
	@echo "installed: $(BIN)/boxship"

$(STAMPS)/venv: scripts/venv.sh
	@scripts/venv.sh $(VENV)
	@mkdir -p $(STAMPS) && touch $@

# What the package needs to run and to be built. The build back end is put into the environment once, instead of
# into a new one for each build.
$(STAMPS)/run: $(STAMPS)/venv pyproject.toml scripts/requirements.py
	@echo "installing what Boxship needs into $(VENV)"
	@$(BIN)/python scripts/requirements.py run | xargs -d '\n' $(BIN)/pip install -qq
	@touch $@

# A copy, not a link to the checkout: with the compiled bytecode that start-up time depends on.
$(STAMPS)/package: $(STAMPS)/run $(SOURCES) README.md LICENSE
	@$(BIN)/pip install -qq --no-deps --no-build-isolation --force-reinstall --no-cache-dir .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/run
	@echo "installing the tools for tests and checks into $(VENV)"
	@$(BIN)/python scripts/requirements.py dev | xargs -d '\n' $(BIN)/pip install -qq
	@touch $@

demo: $(STAMPS)/package
	@scripts/demo.sh

bases: $(STAMPS)/package
	@scripts/need.sh mmdebstrap
	@$(BIN)/python tests/bases.py --put

test: $(STAMPS)/package $(STAMPS)/dev
	@scripts/test.sh

check: $(STAMPS)/package $(STAMPS)/dev
	@scripts/check.sh

bench: $(STAMPS)/package
	@scripts/bench.sh

clean:
	rm -rf $(VENV) $(STAMPS) dist build bench-work .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
