# Everything one does here. Needs GNU make, git and Python 3.11 or newer; `make PYTHON=python3.12` picks one.
# pip installs from wherever this machine's pip is set up to install from; the lock's hashes decide what is accepted.
PYTHON ?= python3
ARGS ?=
BENCH ?= $(wildcard benchmarks/*.py)
BIN := .venv/bin

.PHONY: help tutorial test lab bench lint format lock audit sbom clean

help:
	@echo "make tutorial   run the seven notebooks (ARGS=\"--from 05\", \"--only 03\", \"--target aws\", \"--keep\")"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make test       every test, the notebooks' saved outputs among them"
	@echo "make bench      the measurements in the README (BENCH=benchmarks/tutorial.py for one)"
	@echo "make lint       ruff; make format repairs what it can"
	@echo "make lock       resolve pyproject.toml into requirements.lock"
	@echo "make audit      known vulnerabilities of the locked packages; make sbom lists them (build/sbom.json)"
	@echo "make clean      stop the embedded AWS, remove what make made"

tutorial: .venv/.installed
	@$(BIN)/python -m utils.runner $(ARGS)

test: lint
	$(BIN)/python -m pytest $(ARGS)

lab: .venv/.installed
	$(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

bench: .venv/.installed
	@set -e; for benchmark in $(BENCH); do echo "== $$benchmark"; $(BIN)/python $$benchmark; echo; done

lint: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: .venv/.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Resolves for every Python and platform the project promises; only `uv` reads an index here, so the lock names none.
lock: .venv/.installed
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile pyproject.toml --group dev --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --quiet --output-file requirements.lock

# Both tools run in an environment of their own. The audit asks the Python package index for advisories, so it needs the
# internet; --strict, else a package it could not ask about would count as sound.
audit: .venv/.installed
	$(BIN)/uv tool run --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes \
		--requirement requirements.lock

# A CycloneDX list of what is installed, with licenses: https://cyclonedx.org/specification/overview/
sbom: .venv/.installed
	@mkdir -p build
	$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py environment .venv --output-file build/sbom.json

clean:
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local_aws stop || true; fi
	rm -rf .venv .local_aws outputs build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is not: try 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@echo "Installing the pinned packages into .venv (once, a minute or two) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
