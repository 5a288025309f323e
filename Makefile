# Each command does its own set-up: Python 3.11 or newer, with venv, is all that must be there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
PIP_AUDIT := pip-audit==2.10.1

# LiteLLM fetches its price list from the network when it is imported, unless it is told not to.
export LITELLM_LOCAL_MODEL_COST_MAP := True
export LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS := True

BENCH := .venv-bench

.PHONY: demo test soak bench canary mutants lint lock audit build clean

demo: $(VENV)/runtime ## run the failover demo on an embedded loopback provider, without keys or network
	@$(BIN)/python examples/failover.py

test: lint ## ruff, mypy, pyright, and pytest with branch coverage
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --cov --cov-report=term

soak: $(VENV)/dev ## 1,000 calls at once, again and again for 60 s (make soak SECONDS=600), to see what is lost or left over
	@SECONDS=$(or $(SECONDS),60) $(BIN)/python tests/soak.py

canary: $(BIN)/python ## the newest LiteLLM, in .venv-canary: which of the facts that the tests pin have changed (build/canary.md)
	@PYTHON=$(BIN)/python .ci/canary

mutants: ## break the package in some 6,500 places, in .venv-mutants, to see which the tests don't notice (make mutants ROOMS="health retry")
	@$(PYTHON) -m venv .venv-mutants
	@.venv-mutants/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' mutmut==3.8.1 pytest-timeout==2.4.0
	@.venv-mutants/bin/python tests/mutants.py $(ROOMS)

bench: $(BENCH)/installed ## what failover costs, beside the alternatives, in nine minutes (QUICK=1: two, and nothing is written)
	@cd tests && ../$(BENCH)/bin/python -m benchmarks $(if $(QUICK),--quick) $(if $(REPORT),--report)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

lock: | $(BIN)/python ## the newest versions allowed of all that the tests need, with their hashes, in requirements-dev.lock
	@$(BIN)/python -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(VENV)-lock/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
		--upgrade --quiet --custom-compile-command 'make lock' --output-file requirements-dev.lock

audit: | $(BIN)/python ## whether anything in requirements-dev.lock is known to be vulnerable, where that can be learned
	@$(BIN)/python -m venv $(VENV)-audit
	@$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_AUDIT)
	@$(VENV)-audit/bin/python tests/audit.py

build: $(VENV)/dev ## the wheel and the source archive, in dist/
	rm -rf dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) .venv-* dist build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "the venv module is needed (on Debian: python3-venv)" >&2; exit 1; }

$(VENV)/runtime: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev: pyproject.toml requirements-dev.lock | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/runtime

# An environment of its own: the alternatives bring a hundred packages. Older pips can't resolve them.
$(BENCH)/installed: pyproject.toml tests/benchmarks/requirements.txt
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -e . -r tests/benchmarks/requirements.txt
	@touch $@
