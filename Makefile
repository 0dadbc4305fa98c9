# Thin: what to do is in scripts/ and in the `orlop` command.
.DEFAULT_GOAL := help
.PHONY: help up down test setup lint unit contracts vm long bench lock clean
.NOTPARALLEL:

STATE := $(or $(ORLOP_STATE),.orlop)
BIN := $(STATE)/venv/bin
STAGE := scripts/stage.sh
export PYTHON ?= python3

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*  ## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

up:  ## build the system and boot one machine with a container on it
	@scripts/setup.sh run
	@$(BIN)/orlop up

down:  ## stop that machine and remove it
	@scripts/setup.sh run
	@$(BIN)/orlop down

setup:  ## host packages and the Python environment, nothing else
	@scripts/setup.sh dev

test: lint unit contracts vm  ## everything CI runs

lint: setup  ## style, types, who imports whom
	@$(STAGE) "lint: style" $(BIN)/ruff check .
	@$(STAGE) "lint: format" $(BIN)/ruff format --check .
	@$(STAGE) "lint: types" $(BIN)/mypy .
	@$(STAGE) "lint: imports" $(BIN)/lint-imports --no-logo --cache-dir $(STATE)/cache/import-linter

unit: setup  ## fast tests, no machines
	@$(STAGE) "unit tests" $(BIN)/pytest --timeout 120 tests/unit

contracts: setup  ## our parts against the real tools they speak to
	@$(STAGE) "contract tests" $(BIN)/pytest --timeout 900 tests/contracts

vm: setup  ## tests on booted machines
	@$(STAGE) "machine tests" $(PYTHON) scripts/machine-tests.py "not long"

long: setup  ## the machine tests that `vm` leaves out: many boots each
	@ORLOP_VM_SECONDS=10800 $(STAGE) "long machine tests" $(PYTHON) scripts/machine-tests.py long

bench: setup  ## measure, beside a stock Debian machine
	@$(BIN)/python -m bench $(BENCH)

lock: setup  ## pin the Python packages anew
	@scripts/lock.sh $(LOCK)

clean:  ## stop every lab and remove everything made here
	@[ ! -x $(BIN)/orlop ] || $(BIN)/orlop lab down --all
	rm -rf $(STATE)
