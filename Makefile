# Every target makes its own virtual environment when there is none, or when what it is made from has changed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH := $(VENV)/.bench
BENCH_HOOK := $(VENV)/.bench-hook

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-reader bench-latency bench-runs bench-hook \
	bench-expression bench-rules bench-scrape bench-page fuzz score zoo docs clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## train five small networks, four of them sick, with the monitor beside them
	@$(BIN)/monitor demo

test: $(INSTALLED)  ## run the tests, on two cores
	$(BIN)/python -m pytest -n 2

check: $(INSTALLED)  ## ruff and mypy --strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED)  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: bench-reader bench-latency bench-runs bench-hook bench-expression bench-rules bench-scrape \
	bench-page  ## all benchmarks

bench-reader: $(BENCH)  ## reading, beside EventAccumulator, tbparse and rustboard
	$(BIN)/python -m tests.bench.bench_reader

bench-latency: $(INSTALLED)  ## flush to alert, in milliseconds
	$(BIN)/python -m tests.bench.bench_latency

bench-runs: $(INSTALLED)  ## a thousand live runs: CPU, memory and lag
	$(BIN)/python -m tests.bench.bench_live_runs

bench-hook: $(BENCH_HOOK)  ## the hook's cost in step time beside wandb.watch and histograms; its stream's
	$(BIN)/python -m tests.bench.bench_hook
	$(BIN)/python -m tests.bench.bench_stream

bench-expression: $(INSTALLED)  ## what rules of one's own cost per point
	$(BIN)/python -m tests.bench.bench_expression

bench-rules: $(INSTALLED)  ## what all rules of the file cost per point, live
	$(BIN)/python -m tests.bench.bench_rules

bench-scrape: $(INSTALLED)  ## what /metrics costs with a thousand runs or 10,000 layers
	$(BIN)/python -m tests.bench.bench_scrape

bench-page: $(INSTALLED)  ## the status page in a real browser, and what open pages cost the daemon
	$(BIN)/python -m tests.bench.bench_page

FILES ?= 100000
JOBS ?= 1
fuzz: $(INSTALLED)  ## damaged event files: FILES of them, by JOBS processes
	$(BIN)/python -m tests.fuzz --files $(FILES) --jobs $(JOBS)

score: $(INSTALLED)  ## recall and false alarms of every detector over the scenarios
	$(BIN)/python -m tests.detectors.score

zoo: $(BENCH)  ## some hundred small real trainings, healthy and sick, and how often the monitor is right
	$(BIN)/python -m tests.zoo

docs: $(INSTALLED)  ## rewrite what is made from the code: pages of detectors and metrics, the schema
	$(BIN)/python -m tests.pages

clean:  ## remove what make made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or later is needed; set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "installing into $(VENV) (once; some minutes) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(BENCH): $(INSTALLED)
	@echo "installing the readers to compare with into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

$(BENCH_HOOK): $(INSTALLED)
	@echo "installing what the hook is compared with into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt -e '.[bench-hook]'
	@touch $@
