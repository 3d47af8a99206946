# Six words: setup, demo, check, test, slow, bench. `make lock` resolves the dependencies anew.
SHELL := /bin/bash
.PHONY: setup demo check test slow bench lock

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.graft-set-up

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	python3 -c 'import sys; sys.version_info >= (3, 11) or sys.exit("graft needs Python 3.11 or newer, this is " + sys.version)'
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@

demo: setup
	$(BIN)/graft init demo --demo
	$(BIN)/graft --workspace demo run --offline
	@git -C demo add --all && { git -C demo diff --cached --quiet || \
	  git -C demo -c user.name=graft -c user.email=graft@localhost commit --quiet --message "A run of the demo"; }

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --cov -m "not slow"

slow: setup
	$(BIN)/pytest -m slow

bench: setup
	$(BIN)/python -m benchmarks

lock: setup
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet -o requirements.lock
