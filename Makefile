# make run and make test do all set-up themselves; see `make help`.
#
#   PYTHON=python3.13   the Python to make the environment with (default: the newest of 3.13, 3.12, 3.11 found)
#   VENV=.venv          where the environment is
#   ARGS=...            more arguments for the command that is run: make test ARGS="-k settings"

PYTHON ?=
VENV ?= .venv
ARGS ?=

SHELL := /bin/sh
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# A stamp stands for an installed lock. What `make test` needs holds all that `make run` needs.
RUN_STAMP := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test
RUN_LOCKS := requirements/build.txt requirements/runtime.txt requirements/client.txt
TEST_LOCKS := $(RUN_LOCKS) requirements/dev.txt
SOURCES_OF_METADATA := setup.cfg pyproject.toml

ifdef UV
install = $(UV) pip install --quiet --python $(BIN)/python
have_installer = :
with = uv
else
install = $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517
# An environment that uv made has no pip.
have_installer = $(BIN)/python -c 'import pip' 2>/dev/null || $(BIN)/python -m ensurepip >/dev/null
with = pip
endif
lock = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: help run test interop bench conformance fuzz crash lint lock wsdl settings clean python-fits
.DEFAULT_GOAL := help

help:
	@echo 'make run       set everything up and serve on http://127.0.0.1:8000 with the open chat demo'
	@echo 'make test      set everything up and run all tests'
	@echo 'make interop   install the client stacks of other languages (Debian, as root) and run their tests'
	@echo 'make bench     install the peers and measure all side by side (about fourteen minutes); ARGS="a --quick" for less'
	@echo 'make conformance   how many conformance cases pass here, and how many with stock Spyne'
	@echo 'make fuzz      210,000 random messages through the SOAP face (about ten minutes)'
	@echo 'make crash     kill the service 400 times under load and look whether anything is lost (about twenty minutes)'
	@echo 'make lint      ruff and mypy'
	@echo 'make lock      write requirements/*.txt anew (needs uv)'
	@echo 'make wsdl      write wsdl/webchat.wsdl and its examples anew'
	@echo 'make settings  print the table of settings for the README'
	@echo 'make clean     remove the environment and caches (never the data folder)'
	@echo
	@echo 'PYTHON=python3.13 chooses the Python, VENV=.venv the environment, ARGS="…" adds arguments to run, test,'
	@echo 'interop and bench.'

run: python-fits $(RUN_STAMP)
	@exec $(BIN)/webchat-soap serve --demo $(ARGS)

test: python-fits $(TEST_STAMP)
	@exec $(BIN)/python -m pytest $(ARGS)

interop: python-fits $(TEST_STAMP)
	@tests/interop/install || echo 'Not all could be installed: the tests that miss something are skipped and say so.' >&2
	@exec $(BIN)/python -m pytest tests/interop $(ARGS)

bench: python-fits $(TEST_STAMP)
	@PYTHON=$(BIN)/python benchmarks/install || echo 'Peers that could not be installed are shown as such.' >&2
	@exec $(BIN)/python -m benchmarks $(ARGS)

conformance: python-fits $(TEST_STAMP)
	@exec $(BIN)/python -m benchmarks.conformance $(ARGS)

fuzz: python-fits $(TEST_STAMP)
	WEBCHAT_TEST_FUZZ=70000 $(BIN)/python -m pytest tests/fuzz -s $(ARGS)

crash: python-fits $(TEST_STAMP)
	WEBCHAT_TEST_CRASH_ROUNDS=$${WEBCHAT_TEST_CRASH_ROUNDS:-200} $(BIN)/python -m pytest tests/crash -s $(ARGS)

lint: python-fits $(TEST_STAMP)
	@status=0; $(BIN)/ruff check . || status=1; $(BIN)/ruff format --check --quiet . || status=1; $(BIN)/mypy || status=1; exit $$status

wsdl: python-fits $(RUN_STAMP)
	@mkdir -p wsdl
	rm -f wsdl/examples/*.xml
	$(BIN)/webchat-soap wsdl --url http://127.0.0.1:8000 --examples wsdl/examples > wsdl/webchat.wsdl.new
	@mv wsdl/webchat.wsdl.new wsdl/webchat.wsdl

settings: python-fits $(RUN_STAMP)
	@$(BIN)/python -c 'from webchat_soap.settings import settings_markdown; print(settings_markdown(), end="")'

# dev first: the others take its versions, so that an environment that was made for running can be made one for testing.
lock:
	@command -v uv >/dev/null || { echo 'make lock needs uv (pip install uv).' >&2; exit 1; }
	$(lock) requirements/build.in --output-file requirements/build.txt $(ARGS)
	$(lock) setup.cfg --extra dev --output-file requirements/dev.txt $(ARGS)
	$(lock) setup.cfg --constraint requirements/dev.txt --output-file requirements/runtime.txt
	$(lock) requirements/client.in --constraint requirements/dev.txt --output-file requirements/client.txt

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './webchat-data/*' -prune -exec rm -rf {} +

# An environment of another Python than the one asked for would answer for it in silence.
python-fits:
	@if [ -n '$(PYTHON)' ] && [ -x $(BIN)/python ]; then \
	  version='import sys; print("%d.%d" % sys.version_info[:2])'; \
	  asked=$$('$(PYTHON)' -c "$$version") && there=$$($(BIN)/python -c "$$version") || exit 1; \
	  if [ "$$asked" != "$$there" ]; then \
	    echo "$(VENV) holds Python $$there, PYTHON=$(PYTHON) is $$asked: run 'make clean' first, or name another VENV=." >&2; \
	    exit 1; \
	  fi; \
	fi

$(BIN)/python:
	@fits='import sys; sys.exit(sys.version_info < (3, 11))'; found=; seen=; \
	for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
	  if "$$candidate" -c "$$fits" 2>/dev/null; then found=$$("$$candidate" -c 'import sys; print(sys.executable)'); break; fi; \
	  version=$$("$$candidate" --version 2>/dev/null) && seen="$$seen $$candidate is $$version."; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "webchat-soap needs Python 3.11 or newer.$${seen:- $(if $(PYTHON),$(PYTHON) is no Python that runs,No Python was found on the PATH).}" >&2; \
	  echo "Install one (Debian 12: apt-get install python3 python3-venv), or say where it is: make PYTHON=/path/to/python3.11 …" >&2; \
	  exit 1; \
	fi; \
	echo "Making the environment $(VENV) with $$found ($(with))"; \
	if [ -n '$(UV)' ]; then \
	  '$(UV)' venv --quiet --allow-existing --python "$$found" $(VENV); \
	else \
	  "$$found" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$$found can make no environments: its modules venv and ensurepip are missing." >&2; \
	    echo "Install them (Debian, Ubuntu: apt-get install python3-venv) or uv, then run make again." >&2; \
	    exit 1; \
	  }; \
	  "$$found" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi

$(RUN_STAMP): $(BIN)/python $(RUN_LOCKS) $(SOURCES_OF_METADATA)
	@echo 'Installing what the service needs from requirements/runtime.txt ($(with))'
	@$(have_installer)
	@$(install) --require-hashes -r requirements/build.txt
	@$(install) --require-hashes --no-build-isolation -r requirements/runtime.txt
	@$(install) --require-hashes --no-build-isolation -r requirements/client.txt
	@$(install) --no-deps --no-build-isolation -e .
	@touch $@

$(TEST_STAMP): $(BIN)/python $(TEST_LOCKS) $(SOURCES_OF_METADATA)
	@echo 'Installing what service and tests need from requirements/dev.txt ($(with))'
	@$(have_installer)
	@$(install) --require-hashes -r requirements/build.txt
	@$(install) --require-hashes --no-build-isolation -r requirements/dev.txt
	@$(install) --no-deps --no-build-isolation -e .
	@touch $(RUN_STAMP) $@
