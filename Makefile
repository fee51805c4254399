# Each target is one line you can also type yourself. `make` alone lists them.
UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo .tools/bin/uv)
RUN := $(UV) run --frozen

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint format types check coverage faults requirements clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(filter .tools/%,$(UV)) ## install the locked environment into .venv
	$(UV) sync --frozen

demo: install ## run the whole day, from data to verdict, on this machine
	$(RUN) dbb run end_to_end_job

test: install ## run the tests, all but the slow ones
	$(RUN) pytest

test-all: install ## run the tests, the slow ones too
	$(RUN) pytest -m "slow or not slow"

lint: install ## look for mistakes, and for imports against the layers
	$(RUN) ruff check .
	$(RUN) black --check --quiet .
	$(RUN) lint-imports

format: install ## format the code and sort its imports
	$(RUN) ruff check --fix --quiet .
	$(RUN) black --quiet .

types: install ## check the types
	$(RUN) mypy

coverage: install ## run the tests and show what they do not reach
	$(RUN) pytest --cov --cov-report=term

faults: install ## kill a run at each of its writes, run it again, compare what is left
	$(RUN) python -m benchmarks.faults

requirements: install ## write requirements.txt anew from the lock
	./sync_requirements.sh

check: ## all that CI does
	.ci/run

clean: ## remove what runs and tests have made (tables and models of local runs included)
	rm -rf .local .venv39 .coverage htmlcov dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.tools/bin/uv:
	python3 -m pip install --quiet --disable-pip-version-check --target .tools uv
