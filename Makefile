# Each target sets itself up. All that must be there is Python 3.11 or newer, with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := -m pip --quiet --disable-pip-version-check
LOCK = $(VENV)-lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --upgrade \
	--generate-hashes --quiet --custom-compile-command 'make lock'

# Otherwise LiteLLM fetches these from the network when it is imported.
export LITELLM_LOCAL_MODEL_COST_MAP := True
export LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS := True

.PHONY: help demo test lint soak canary frameworks mutants bench lock audit build clean proxy proxy-test

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/runtime ## run examples/failover.py: no keys, no network
	@$(BIN)/python examples/failover.py

test: lint ## run the linters, the type checkers, and all tests with branch coverage
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --cov --cov-report=term

lint: $(VENV)/dev ## run ruff, mypy and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

soak: $(VENV)/dev ## look for lost calls and leaks, with 1,000 calls at once, for 60 s (SECONDS=600)
	@SECONDS=$(or $(SECONDS),60) PYTHONPATH=tests:tests/acceptance $(BIN)/python tools/soak.py

canary: $(VENV)/runtime ## run the tests on the newest LiteLLM; report changes in build/canary.md
	@PYTHON=$(BIN)/python .ci/canary

frameworks: | $(BIN)/python ## run agent frameworks on a cascade, in environments of their own (ONLY="adk mem0")
	@$(BIN)/python tools/frameworks/run.py $(ONLY)

mutants: | $(BIN)/python ## find code that no test checks (ROOMS="failover.retry gateway.errors")
	@$(BIN)/python -m venv $(VENV)-mutants
	@$(VENV)-mutants/bin/python $(PIP) install --upgrade pip
	@$(VENV)-mutants/bin/python $(PIP) install --group dev -e . \
		mutmut==3.8.1 pytest-timeout==2.4.0
	@$(VENV)-mutants/bin/python tools/mutants.py $(ROOMS)

bench: $(VENV)-bench/installed ## compare with the alternatives in 10 minutes (QUICK=1: 3, no report)
	@cd tools && ../$(VENV)-bench/bin/python -m benchmarks \
		$(if $(QUICK),--quick) $(if $(REPORT),--report)

proxy: $(VENV)-proxy/installed ## start LiteLLM's proxy with examples/proxy/config.yaml, on port 4000
	$(VENV)-proxy/bin/litellm --config examples/proxy/config.yaml --host 127.0.0.1 --port 4000

proxy-test: $(VENV)-proxy/installed ## ask that proxy through an outage, on fake providers
	$(VENV)-proxy/bin/python -m pytest --quiet -c tools/proxy/pytest.ini tools/proxy

lock: | $(BIN)/python ## update both lock files to the newest versions allowed
	@$(BIN)/python -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python $(PIP) install uv==0.13.9
	$(LOCK) --group dev --output-file requirements-dev.lock
	$(LOCK) --group build --constraints requirements-dev.lock --output-file requirements.lock

audit: | $(BIN)/python ## look for known vulnerabilities in what the lock files pin
	@$(BIN)/python -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python $(PIP) install pip-audit==2.10.1
	@$(VENV)-audit/bin/python tools/audit.py

build: $(VENV)/dev ## build the wheel and the source archive in dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

clean: ## delete the environments and what was built
	rm -rf $(VENV) $(VENV)-* dist build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: try make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "the venv module is needed (Debian: python3-venv)" >&2; exit 1; }

# The lock files are complete: nothing is resolved.
$(VENV)/runtime: pyproject.toml requirements.lock | $(BIN)/python
	$(BIN)/python $(PIP) install --no-deps --require-hashes -r requirements.lock
	$(BIN)/python $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: pyproject.toml requirements-dev.lock | $(BIN)/python
	$(BIN)/python $(PIP) install --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/python $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/runtime

$(VENV)-proxy/installed: pyproject.toml tools/proxy/requirements.txt
	@test -x $(VENV)-proxy/bin/python || $(PYTHON) -m venv $(VENV)-proxy
	$(VENV)-proxy/bin/python $(PIP) install --upgrade pip
	$(VENV)-proxy/bin/python $(PIP) install -e . -r tools/proxy/requirements.txt
	@touch $@

# The alternatives bring a hundred packages, so they get an environment of their own.
# Older pips cannot resolve them.
$(VENV)-bench/installed: pyproject.toml tools/benchmarks/requirements.txt
	@test -x $(VENV)-bench/bin/python || $(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python $(PIP) install --upgrade pip
	$(VENV)-bench/bin/python $(PIP) install -e . -r tools/benchmarks/requirements.txt
	@touch $@
