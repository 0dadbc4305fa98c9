# Thin: what to do is in scripts/ and in the `orlop` command.
.DEFAULT_GOAL := help
.PHONY: help up down test check fmt setup lint unit contracts machines long mutation bench lock clean
.NOTPARALLEL:

STATE := $(or $(ORLOP_STATE),.orlop)
BIN := $(STATE)/venv/bin
STAGE := scripts/stage.sh
export PYTHON ?= python3
# what is chosen of a stage's tests: files, folders or single tests; pytest's -k
export T K RECORD

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

test: setup  ## everything CI runs: check, contracts, machines; with times at the end
	@$(STAGE) --begin
	@$(MAKE) --no-print-directory check contracts machines; code=$$?; $(STAGE) --times; exit $$code

check: setup  ## what is worth running before each commit: lint and unit, side by side
	@$(STAGE) "check" $(PYTHON) scripts/check.py

fmt: setup  ## write the code as `check` wants it: format, order of imports, what ruff can mend
	@$(BIN)/ruff check --fix --quiet --exit-zero .
	@$(BIN)/ruff format .

lint: setup  ## format, style, types, imports; shell scripts and units, as the SDK's tools read them
	@T= K= $(STAGE) "lint" $(PYTHON) scripts/check.py format style types imports scripts

unit: setup  ## fast tests, no machines [T=path K=word]
	@$(STAGE) "unit tests" $(PYTHON) scripts/check.py unit

# A file of them is one story; of several at a time most wait for a process or a clock. Some need the image, which only one
# may build.
contracts: setup  ## our parts against the real tools they speak to [T=path K=word]
	@$(STAGE) "image" $(BIN)/orlop image build
	@$(STAGE) "contract tests" $(PYTHON) scripts/again.py $(BIN)/pytest --timeout 900 --durations=10 --durations-min=1 $(if $(T)$(K),,-n auto --dist loadfile -m "not long") $(or $(T),tests/contracts) $(if $(K),-k '$(K)')

machines: setup  ## tests on booted machines [T=path K=word RECORD=1|boot-cost]
	@$(STAGE) "machine tests" $(PYTHON) scripts/machine-tests.py "not long"

long: setup  ## the tests that `unit`, `contracts` and `machines` leave out: thousands of lives, many boots each
	@ORLOP_EXPLORE=1 $(STAGE) "long unit tests" $(BIN)/pytest -m long tests/unit
	@$(STAGE) "long contract tests" $(BIN)/pytest --timeout 900 -m long tests/contracts
	@$(STAGE) "mutation" $(PYTHON) scripts/mutation.py
	@ORLOP_MACHINES_SECONDS=10800 $(STAGE) "long machine tests" $(PYTHON) scripts/machine-tests.py long

mutation: setup  ## change the code of model, trust and provision in small places: do unit tests notice? [ROOM=model SAMPLE=0]
	@$(STAGE) "mutation" $(PYTHON) scripts/mutation.py $(ROOM) $(if $(SAMPLE),--sample $(SAMPLE))

bench: setup  ## measure, beside a stock Debian machine
	@$(BIN)/python -m bench $(BENCH)

lock: setup  ## pin the Python packages anew
	@scripts/lock.sh $(LOCK)

clean:  ## stop every lab and remove everything made here
	@[ ! -x $(BIN)/orlop ] || $(BIN)/orlop lab down --all
	rm -rf $(STATE)
