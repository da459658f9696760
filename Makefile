# `make demo` and `make test` set up all they need in .venv, and reuse it while it is current.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := pipeline model export serving cli

.PHONY: demo test check protos format clean

demo: $(READY)
	@rm -rf demo
	@$(BIN)/charflow demo --out demo

test: check
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy $(PACKAGES:%=-p charflow.%)

# On purpose with an older protoc than there is: its code runs on every protobuf from 6.31 on.
protos: $(READY)
	@$(PYTHON) -m venv $(VENV)/protos
	@$(VENV)/protos/bin/python -m pip install --quiet --disable-pip-version-check 'grpcio-tools==1.73.*'
	@$(VENV)/protos/bin/python -m grpc_tools.protoc -I $(VENV)/src --python_out=$(VENV)/src --pyi_out=$(VENV)/src \
		$(VENV)/src/charflow/serving/protos/*.proto

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# mypy does not see an editable install whose folders are mapped, so it reads the packages through links.
$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (about a minute and 2 GB) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@mkdir -p $(VENV)/src/charflow
	@for package in $(PACKAGES); do ln -sfn "$(CURDIR)/$$package" $(VENV)/src/charflow/$$package; done
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
