# Every target makes the environment it needs; a machine with Python 3.11+, make and a C library is enough.
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install web demo test check lint format docs bench bench-soak clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) ## make .venv with everything: all extras and dev

$(INSTALLED): pyproject.toml constraints.txt
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	touch $@

web: $(INSTALLED) ## build the web app into the package; nothing where its sources did not change
	$(BIN)/python web/build.py

demo: $(INSTALLED) ## sample data -> train -> INT8 -> deploy -> measure, at most 4 minutes on 2 cores
	$(BIN)/sightline demo --folder demo

check: lint ## format, lint, types, layers, documents, also of the web app
	$(BIN)/pytest -q tests/docs -m 'not slow'

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python web/build.py check

# One thread for each of the two: oneDNN's threads spin at barriers where others compute, whatever OMP_WAIT_POLICY says.
test: lint web ## everything CI runs; the files of tests go to two processes
	$(BIN)/python web/build.py test
	OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadscope --no-loadscope-reorder

format: $(INSTALLED) ## rewrite the code in the agreed format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python web/build.py format

docs: $(INSTALLED) ## regenerate docs/reference from the code
	$(BIN)/python docs/reference/generate.py

bench: $(INSTALLED) ## measure everything the README claims (hours; results in benchmarks/out)
	$(BIN)/python benchmarks/run_all.py

bench-soak: $(INSTALLED) ## an hour of load on the server; WORK=folder of the peers' setup.sh (benchmarks/README.md)
	@test -n "$(WORK)" || { echo 'give the folder of networks and pictures: make bench-soak WORK=FOLDER' >&2; exit 2; }
	$(BIN)/python benchmarks/serving/soak.py $(WORK)

clean: ## remove what the targets made, but not your workspace
	rm -rf $(VENV) web/node_modules src/sightline/api/pages demo benchmarks/out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
