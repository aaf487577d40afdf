# Two commands do all set-up on a machine with Python 3.11+, make and git: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := constraints/airflow-3.3.txt
READY := $(VENV)/.ready
DEMO_READY := $(VENV)/.ready-demo
DOCS_VENV := .venv-docs
DOCS_READY := $(DOCS_VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help test fuzz test-clocks histories demo chaos cluster screenshots matrix matrix-corners constraints lint bench docs clean

help:  ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

test: $(READY)  ## Run all tests, against the simulator and a real Airflow (ARGS="-k name" narrows them)
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@failed=; \
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile -m "not scheduler" \
		|| failed="$$failed, those without a scheduler"; \
	$(BIN)/python -m pytest -m scheduler || failed="$$failed, those on a scheduler"; \
	test -z "$$failed" || { echo "Tests failed:$${failed#,}. Each half's summary is at its end."; exit 1; }
endif

test-clocks: $(READY)  ## Run the fast tests under shifted clocks (CLOCKS=leap-day, ARGS="-k name")
	$(BIN)/python dev/clocks.py --pytest='$(ARGS)' $(CLOCKS)

histories: N = 10000
histories: $(READY)  ## Play N=10000 random histories of calls, count rings (SEED=... repeats them; DATABASE=postgresql)
	$(BIN)/python dev/histories.py --number $(N) $(if $(SEED),--seed $(SEED)) $(if $(DATABASE),--database $(DATABASE))

demo: $(DEMO_READY)  ## Ring four simulated customers through a real Airflow; KEEP=1 leaves its UI running
	$(BIN)/python dev/demo.py $(if $(KEEP),--keep)

VALUES ?= 2000
fuzz: $(READY)  ## Give every argument whatever there is (VALUES=2000 for each operator and method)
	WOLKVOX_FUZZ_EXAMPLES=$(VALUES) $(BIN)/python -m pytest -q --timeout 0 tests/test_fuzz_arguments.py tests/test_fuzz_client.py

chaos: N = 50
chaos: $(READY)  ## Disturb N random runs on a real scheduler and count rings (N=50; SEED=... repeats one)
	$(BIN)/python dev/chaos.py --rounds $(N) $(if $(SEED),--seed $(SEED))

CALLS ?= 400
cluster: $(READY)  ## Call CALLS=400 customers with four tokens on a Celery cluster, kill a worker half way, count rings
	$(BIN)/python dev/cluster.py --calls $(CALLS)

screenshots: $(READY)  ## Take the pictures in docs/images anew, from a real Airflow in a headless Chromium
	$(BIN)/python dev/screenshots.py

MATRIX := $(BIN)/python dev/matrix.py run $(if $(SKIP_MISSING),--skip-missing) --pytest '$(ARGS)'
matrix: $(READY)  ## Run the tests on every Airflow and Python (ONLY="2.11-3.12 3.3", SKIP_MISSING=1, ARGS="-k name")
	$(MATRIX) $(ONLY)

matrix-corners: $(READY)  ## Run the tests on the corners of the matrix, as CI does
	$(MATRIX) --corners

constraints: $(READY)  ## Make constraints/ anew (ONLY="2.11 3.0"; UPGRADE=1 keeps no pin)
	$(BIN)/python dev/matrix.py constraints $(if $(UPGRADE),--upgrade) $(ONLY)

lint: $(READY)  ## Check style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)  ## Print the benchmarks' tables
	@failed=; for script in benchmarks/*.py; do $(BIN)/python $$script || failed="$$failed $$script"; done; \
	test -z "$$failed" || { echo "Goals missed, or not measured:$$failed"; exit 1; }

docs: $(DOCS_READY)  ## Build the documentation into site/; warnings and requests to other hosts are errors
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet --strict

clean:  ## Remove the virtual environments, the demo's Airflow and the built documentation
	rm -rf $(VENV) $(DOCS_VENV) .matrix site .airflow-demo

# What the demo needs: Airflow and the provider. Installed by uv, which shows what it does, and takes seconds.
INSTALL = $(BIN)/uv pip install --python $(BIN)/python --compile-bytecode --constraint $(CONSTRAINTS)
$(DEMO_READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --constraint $(CONSTRAINTS) uv
	$(INSTALL) --editable .
	@touch $@

# What the developers' commands need on top.
$(READY): $(DEMO_READY)
	$(INSTALL) --editable '.[dev,cluster]'
	@touch $@

# An environment of its own: what builds pages needs no Airflow, and is there in seconds.
$(DOCS_READY): constraints/docs.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement constraints/docs.txt
	@touch $@
