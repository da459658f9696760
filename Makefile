# `make demo` and `make test` set up all they need in .venv, and reuse it while it is current.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check protos format clean

demo: $(READY)
	@rm -rf demo
	@$(BIN)/charflow demo --out demo

test: check
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy -p charflow
	@$(BIN)/lint-imports --no-logo --no-cache

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
	rm -rf $(VENV) build *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
