# All tasks of this project. Needs GNU make and Python 3.11 or newer. `make PYTHON=python3.12` picks a Python.
# uv installs from wherever this machine's pip is set up to install from; the lock's hashes decide what is accepted.
PYTHON ?= python3
ARGS ?=
# Those that take seconds or a few minutes. The others, kills and a day of a schedule, take up to 45 minutes together.
BENCH ?= $(filter-out benchmarks/kills_% benchmarks/schedule_day.py,$(wildcard benchmarks/*.py))
BIN := .venv/bin
# Containers often set it. Then each of hundreds of processes compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE
MERMAID := 11.16.0
MERMAID_SHA256 := 74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b
MERMAID_JS := build/book/mermaid-$(MERMAID).min.js
SHA256 := $(if $(shell command -v sha256sum),sha256sum,shasum -a 256) --check --status

.PHONY: outputs help tutorial test test-all test-browser test-studio test-clients chromium lab book functions deploy undeploy bench lint format lock kernel audit sbom clean

help:
	@echo "make tutorial   run the seven notebooks (ARGS=\"--from 05\", \"--only 03\", \"--target aws\", \"--keep\")"
	@echo "make outputs    run every notebook and save its outputs in place"
	@echo "make lab        open the notebooks in JupyterLab"
	@echo "make kernel     make .venv a kernel of the JupyterLab that is here, such as SageMaker Studio's"
	@echo "make test       lint, and run the tests to wait for while you work"
	@echo "make test-all   run every test except the browser's, Studio's and other clients' (CI runs it)"
	@echo "make test-browser  test the notebooks in JupyterLab and the book, in Chromium (pictures in outputs/screens/)"
	@echo "make test-studio   test utils, Lambdas and notebooks with the package versions of SageMaker Studio's image"
	@echo "make test-clients  test other programs that use AWS Batch on the embedded AWS, each in its own environment"
	@echo "make book       build the notebooks as a website (build/book/html/index.html)"
	@echo "make functions  package the two Lambda functions (build/submit_jobs.zip, build/check_jobs.zip)"
	@echo "make deploy     deploy functions, queues, rules and alarms as a CloudFormation stack (PIPELINES=a,b and more: deploy/README.md)"
	@echo "make undeploy   delete that stack"
	@echo "make bench      measure the numbers in the README (BENCH=benchmarks/tutorial.py for one)"
	@echo "make lint       check code, types, lengths and the English (make format fixes the format)"
	@echo "make lock       resolve pyproject.toml into requirements.lock and environment.yml"
	@echo "make audit      check the locked packages for known vulnerabilities (make sbom lists them in build/sbom.json)"
	@echo "make clean      stop the embedded AWS, and remove what make created, with the kernel of make kernel"

# Meanwhile npm, if it is here, fetches Mermaid, which draws the page's diagrams. Without it the page shows their text.
tutorial: .venv/.installed
	@command -v npm >/dev/null && $(MAKE) --silent $(MERMAID_JS) </dev/null >/dev/null 2>&1 &
	@$(BIN)/python -m utils.runner $(ARGS)

# Four files at a time, since tests wait for servers and jobs more than they compute.
PYTEST := $(BIN)/python -m pytest -p no:nbval -n 4 --dist loadfile --no-loadscope-reorder --ignore=tests/browser --ignore=tests/studio \
	--ignore=tests/clients

test: lint
	$(PYTEST) -m "not thorough" $(ARGS)

test-all: lint
	TEST_TIER=all $(PYTEST) $(ARGS)

# Three files at a time: the notebooks, those of going_further, and all else.
test-browser: .venv/.installed chromium book
	$(BIN)/python -m pytest -p no:nbval -n 3 --dist loadfile --no-loadscope-reorder tests/browser $(ARGS)

test-studio: .venv/.installed build/studio/env/.installed
	$(BIN)/python -m pytest tests/studio $(ARGS)

# Each is a folder of tests/clients: Python's with a requirements.in, JavaScript's with a package.json.
PYTHON_CLIENTS := $(patsubst tests/clients/%/requirements.in,%,$(wildcard tests/clients/*/requirements.in))

test-clients: .venv/.installed $(PYTHON_CLIENTS:%=build/clients/%/.installed) build/clients/javascript/.installed
	$(BIN)/python -m pytest tests/clients $(ARGS)

build/clients/javascript/.installed: tests/clients/javascript/package-lock.json
	@command -v npm >/dev/null || { echo "make test-clients needs npm (Node.js 20 or newer)." >&2; exit 1; }
	@mkdir -p $(@D) && cp tests/clients/javascript/package*.json $(@D)
	@cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

build/clients/%/.installed: tests/clients/%/requirements.lock | .venv/.installed
	@mkdir -p $(@D) && $(BIN)/python -m venv --clear --without-pip $(@D)
	@echo "Installing $* into $(@D) (once) ..."
	@$(BIN)/python .ci/install.py $(@D) $<
	@touch $@

# Studio's image has Python 3.12: the first of these that is one.
STUDIO_PYTHON ?= $(firstword $(shell python3.12 -c 'import sys; print(sys.executable)' 2>/dev/null) $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python))
build/studio/env/.installed: tests/studio/requirements.lock
	@[ -n "$(STUDIO_PYTHON)" ] || { echo "make test-studio needs Python 3.12. Set STUDIO_PYTHON to it." >&2; exit 1; }
	@mkdir -p build/studio && $(STUDIO_PYTHON) -m venv --clear build/studio/env
	@echo "Installing the packages of SageMaker Studio's image into build/studio/env (once, some minutes) ..."
	@build/studio/env/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# Debian's, when there is none and this is root, as in CI; elsewhere the tests say what to install.
chromium:
	@if [ -z "$$CHROMIUM" ] && ! command -v chromium google-chrome >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; fi

# JupyterLab refuses root unless it is asked to. In a container there is often no other user.
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
# This repository's modules come before others of the same name that PYTHONPATH leads to.
lab: export PYTHONPATH := $(CURDIR)$(addprefix :,$(PYTHONPATH))
# Shows the whole repository, since the notebooks link to the code, the glossary and the README.
lab: .venv/.installed
	$(BIN)/jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/notebooks/01_iam.ipynb $(ROOT) $(ARGS)

# Jupyter finds it in the home folder, which SageMaker Studio keeps. SAGEMAKER_BATCH_TARGET=aws makes that its target.
KERNEL := sagemaker-batch
kernel: .venv/.installed
	@$(BIN)/python -m ipykernel install --user --name $(KERNEL) --display-name "SageMaker Batch Step" \
		--env PYTHONPATH "$(CURDIR)" \
		$(if $(SAGEMAKER_BATCH_TARGET),--env SAGEMAKER_BATCH_TARGET $(SAGEMAKER_BATCH_TARGET)) >/dev/null
	@echo "Choose the kernel \"SageMaker Batch Step\". Its target is $(or $(SAGEMAKER_BATCH_TARGET),local)."
	@echo "Remove it with: $(BIN)/jupyter kernelspec remove $(KERNEL)"

# Laid out as the repository is, so that links lead where they lead there.
book: build/book/env/.installed $(MERMAID_JS)
	@rm -rf build/book/source build/book/html && mkdir -p build/book/source/docs
	@cp -R notebooks lambda_code job_code utils README.md CONTRIBUTING.md CHANGELOG.md LICENSE build/book/source/
	@rm -rf build/book/source/notebooks/.ipynb_checkpoints build/book/source/notebooks/*/.ipynb_checkpoints
	@cp docs/*.md docs/*.svg docs/*.py build/book/source/docs/ && rm build/book/source/docs/index.md
	@mkdir build/book/source/local_aws && cp local_aws/*.md build/book/source/local_aws/
	@mkdir build/book/source/deploy && cp deploy/README.md deploy/template.yaml deploy/Dockerfile build/book/source/deploy/
	@cat README.md docs/index.md >build/book/source/index.md  # the first page is the README, and the contents
	@build/book/env/bin/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs --builder html \
		--doctree-dir build/book/doctrees build/book/source build/book/html
	@cp $(MERMAID_JS) build/book/html/_static/mermaid.min.js
	@echo "build/book/html/index.html"

build/book/env/.installed: docs/requirements.lock
	@mkdir -p build/book && $(PYTHON) -m venv --clear build/book/env
	@build/book/env/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# Drawn by Mermaid (MIT), which npm has and Python's index has not.
$(MERMAID_JS):
	@command -v npm >/dev/null || { echo "make book needs npm (Node.js), to fetch Mermaid for the diagrams." >&2; exit 1; }
	@mkdir -p build/book && cd build/book && npm pack --silent mermaid@$(MERMAID) >/dev/null && \
		tar -xzOf mermaid-$(MERMAID).tgz package/dist/mermaid.min.js >mermaid.js && rm mermaid-$(MERMAID).tgz && \
		echo "$(MERMAID_SHA256)  mermaid.js" | $(SHA256) && mv mermaid.js $(notdir $@)

# The zips to deploy by hand, or with tools of your own; the same bytes for the same files.
functions: .venv/.installed
	@$(BIN)/python -c "from pathlib import Path; from utils import lambdas; print(*lambdas.write_packages(Path('build')), sep='\n')"

# The stack for your own pipeline; ARGS takes what `python -m deploy.stack deploy --help` lists beside these.
deploy: .venv/.installed
	@$(BIN)/python -m deploy.stack deploy --stack "$(STACK)" --pipelines "$(PIPELINES)" --job-queues "$(JOB_QUEUES)" \
		--job-definitions "$(JOB_DEFINITIONS)" --buckets "$(BUCKETS)" $(ARGS)

undeploy: .venv/.installed
	@$(BIN)/python -m deploy.stack delete --stack "$(STACK)" $(ARGS)

bench: .venv/.installed
	@set -e; for benchmark in $(BENCH); do echo "== $$benchmark"; $(BIN)/python $$benchmark; echo; done

lint: .venv/.installed build/deploy/env/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -p utils -p local_aws -p deploy
	@set -e; for folder in job_code $(wildcard lambda_code/*/); do $(BIN)/mypy $$folder/*.py; done
	$(BIN)/python .ci/maintainability.py
	$(BIN)/python .ci/shape.py
	$(BIN)/python .ci/prose.py
	build/deploy/env/bin/cfn-lint deploy/template.yaml
	build/deploy/env/bin/hadolint deploy/Dockerfile

build/deploy/env/.installed: deploy/requirements.lock
	@mkdir -p build/deploy && $(PYTHON) -m venv --clear build/deploy/env
	@build/deploy/env/bin/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# Runs every notebook and saves it with its outputs, which the tests then compare.
outputs: .venv/.installed
	$(BIN)/python .ci/outputs.py $(ARGS)

format: .venv/.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Resolves for every Python and platform the project promises; only `uv` reads an index here, so the lock names none.
lock: .venv/.installed
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --group pinned --group dev --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --quiet --output-file requirements.lock
	$(BIN)/python .ci/environment.py
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --group book --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --quiet --output-file docs/requirements.lock
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --group deploy --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --quiet --output-file deploy/requirements.lock
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile tests/studio/requirements.in --universal \
		--overrides tests/studio/overrides.txt --python-version 3.12 --generate-hashes --no-emit-index-url --quiet \
		--output-file tests/studio/requirements.lock
	@set -e; for client in $(PYTHON_CLIENTS); do \
		UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile tests/clients/$$client/requirements.in --universal \
			--python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
			--output-file tests/clients/$$client/requirements.lock; done
	@cd tests/clients/javascript && npm install --package-lock-only --silent --omit-lockfile-registry-resolved \
		--no-audit --no-fund

# Both tools run in an environment of their own. The audit asks the Python package index for advisories, so it needs the
# internet, or ARGS="-s osv --osv-url http://..." for a copy of osv.dev within reach; --strict, else a package it could
# not ask about would count as sound.
audit: .venv/.installed
	$(BIN)/uv tool run --from pip-audit==2.10.1 pip-audit --strict --disable-pip --require-hashes \
		--requirement requirements.lock $(ARGS)

# A CycloneDX list of what is installed, with licenses: https://cyclonedx.org/specification/overview/
sbom: .venv/.installed
	@mkdir -p build
	$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py environment .venv --output-file build/sbom.json

clean:
	@if [ -x $(BIN)/jupyter ] && $(BIN)/jupyter server list 2>/dev/null | grep -q ":: $(CURDIR)$$"; then \
		echo "JupyterLab runs here, from .venv. Stop it first, with Ctrl-C in its terminal." >&2; exit 1; fi
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local_aws stop; fi  # while it can't be stopped, nothing is deleted
	@if [ -x $(BIN)/python ] && [ -x $(BIN)/jupyter ]; then $(BIN)/python .ci/remove_kernel.py $(KERNEL); fi
	rm -rf .venv .local_aws outputs build .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# setuptools takes a $ in a path for the beginning of a variable's name, and can't install from there.
DOLLAR := $(findstring $$,$(CURDIR))
.venv/.installed: requirements.lock
	@$(if $(DOLLAR),$(error The folder "$(CURDIR)" has a $$ in its path. Move the repository to a path without one))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed. $(PYTHON) is older, or missing. Try 'make PYTHON=python3.12 ...'." >&2; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@echo "Installing the pinned packages into .venv (once) ..."
	@awk '/^[^ #]/ {mine = /^uv==/} mine' requirements.lock >.venv/uv.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock
	@$(BIN)/python .ci/install.py .venv requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
