# `make demo` and `make test` set up all they need in .venv, and reuse it while it is current.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# A file stays with one worker, for what its tests share; in the order of tests/conftest.py, long files first. Three
# workers have two processors busy: tests of time limits and of lost connections, none of them quick, wait.
WORKERS := 3
# A test that hangs for a quarter of an hour, or its fixtures, shows the stacks of all threads and fails.
HANGING = -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(HANGING)

# Where it is set, each of the suite's processes compiles charflow again, and each worker the tests.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo examples test quick check bench bench-check docs site protos format clean

demo: $(READY)
	@rm -rf demo
	@$(BIN)/charflow demo --out demo

# Trains a small model and runs each program of examples/ on it.
examples: $(READY)
	@$(BIN)/python -m examples.all

test: check
	@$(PYTEST)

# Without what starts processes, trains, or takes more than half a second.
quick: WORKERS := 2
quick: $(READY)
	@$(PYTEST) -m "not slow"

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy -p charflow
	@$(BIN)/mypy tests experiments examples docs/*.py
	@$(BIN)/lint-imports --no-logo --no-cache

# Writes what docs/ has from the code: tables of signatures and settings, pictures, and what its blocks print when run.
docs: $(READY)
	@$(BIN)/python -m docs.tables
	@$(BIN)/python -m docs.pictures
	@$(BIN)/python -m tests.docs.make

# Measures the machine with a chat and one person of it, and writes docs/performance.md and its pictures:
#     make bench CHAT=chat.csv PERSON=ID
# `make bench-check` measures again, and fails where a ratio has fallen.
BENCH = $(BIN)/charflow bench all $(or $(CHAT),$(error give CHAT=chat.csv)) --user $(or $(PERSON),$(error give PERSON=ID)) --json
bench: $(READY)
	@$(BENCH) > bench.json
	@mv bench.json docs/performance.json
	@$(BIN)/python -m docs.performance

bench-check: $(READY)
	@$(BENCH) > bench.json
	@$(BIN)/python -m docs.performance --against bench.json

# The pages as a site, in site/; a link that leads nowhere fails.
site: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# On purpose with an older protoc than there is: its code runs on every protobuf from 6.31 on.
protos: $(READY)
	@$(PYTHON) -m venv $(VENV)/protos
	@$(VENV)/protos/bin/python -m pip install --quiet --disable-pip-version-check 'grpcio-tools==1.73.*'
	@$(VENV)/protos/bin/python -m grpc_tools.protoc -I src --python_out=src --pyi_out=src \
		src/charflow/serving/protos/*.proto

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (about a minute and 2 GB) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) build dist site *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
