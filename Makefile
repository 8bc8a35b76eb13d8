# make demo   attack the photos in examples/ with the embedded model; look at runs/demo/panels
# make test   lint, then the fast tests, FastSAM's among them
# Everything sets up .venv by itself; all it needs is Python 3.11 or newer (PYTHON=... chooses one).

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
# FastSAM's tests need ultralytics and torchvision, which want a torch of their own: beside .venv, with its packages.
FASTSAM := .venv-fastsam
FASTSAM_STAMP := $(FASTSAM)/.complete
PYTHON := python3.11 python3 python

.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-fastsam lint bench docs clean

help:
	@echo "make demo       attack the photos in examples/, panels and tables into runs/demo"
	@echo "make test       lint, then the fast tests"
	@echo "make test-all   lint, then all tests"
	@echo "make test-fastsam  the tests of FastSAM alone"
	@echo "make lint       ruff, mypy, import-linter"
	@echo "make bench      speed and memory, SAM-H at full size too (16 GiB, long)"
	@echo "make clean      remove what make and the tools made, except runs/"

# A virtual environment knows its own path: one that was moved or copied along is as stale as an old one.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): pyproject.toml constraints.txt
	@set -e; found=; \
	for candidate in $(PYTHON); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "segrobust needs Python 3.11 or newer; none of '$(PYTHON)' is one. Install it, or: make PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	rm -rf $(VENV); \
	echo "building $(VENV) with $$("$$found" --version) (once; takes a few minutes)"; \
	"$$found" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@printf '%s\n' "$(CURDIR)" > $@

ifneq ($(shell cat $(FASTSAM_STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(FASTSAM_STAMP)
endif

$(FASTSAM_STAMP): $(STAMP) constraints-fastsam.txt
	@rm -rf $(FASTSAM)
	@$(BIN)/python -m venv --without-pip $(FASTSAM)
	@site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	echo "import site; site.addsitedir('$$site')" \
	  > $$($(FASTSAM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth
	@$(BIN)/python -m pip --python $(FASTSAM)/bin/python install --quiet --disable-pip-version-check --no-deps \
	  -r constraints-fastsam.txt
	@printf '%s\n' "$(CURDIR)" > $@

demo: $(STAMP)
	rm -rf runs/demo
	$(BIN)/segrobust attack examples --model nano -o runs/demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Torch has one thread in each process. At most four, as each holds torch and models of its own. A file stays in one of
# them, since its tests share what they set up. Slow tests take turns: some fill the memory.
SPREAD := -n auto --maxprocesses 4 --dist loadfile

test: lint
	$(BIN)/python -m pytest $(SPREAD) -m "not slow"
	@$(MAKE) --no-print-directory test-fastsam

test-all: lint
	$(BIN)/python -m pytest $(SPREAD) -m "not slow"
	$(BIN)/python -m pytest -m slow
	@$(MAKE) --no-print-directory test-fastsam

test-fastsam: $(FASTSAM_STAMP)
	$(FASTSAM)/bin/python -m pytest -c tests_fastsam/pytest.ini tests_fastsam

# Every script in benchmarks/ that measures; each prints what it measured.
WRITING := benchmarks/write_% benchmarks/attack_% benchmarks/%_table.py benchmarks/plan_tables.py
WRITING += benchmarks/stand_in.py benchmarks/markers.py
MEASURING := $(filter-out $(WRITING) benchmarks/__%,$(wildcard benchmarks/*.py))

bench: $(STAMP)
	@set -e; for script in $(MEASURING); do echo "== $$script"; $(BIN)/python -m "benchmarks.$$(basename $$script .py)"; done

# Tables in docs and README are generated from stored runs, never written by hand.
ifneq ($(wildcard benchmarks/write_docs.py),)
docs: $(STAMP)
	$(BIN)/python -m benchmarks.write_docs
endif

clean:
	rm -rf $(VENV) $(FASTSAM) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests tests_fastsam training benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
