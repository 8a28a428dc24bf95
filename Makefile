# make demo   the whole job on a generated data set, or on DATASET=path/to/DatasetXXX_Name
# make test   lint, types, docs and tests; what CI runs. TEST_DATASET=path/to/DatasetXXX_Name: the end-to-end tests on your data
# make test-all adds every network and setting (an hour), make soak hundreds of kills, make test-matrix other versions and Pythons,
# make bench measures, make gpu checks and measures what only a GPU can show,
# make mutants changes method/ and handover/ line by line and tells which changes no test notices
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= .work/demo

# Small machines, and nothing of the user's own: tests and demo bring their own folders.
export nnUNet_def_n_proc := 2
export nnUNet_n_proc_DA := 1
export OMP_NUM_THREADS := 1
export GOMP_SPINCOUNT := 10000
export nnUNet_compile := f
export nnUNet_raw := $(CURDIR)/.work/nnUNet_raw
export nnUNet_preprocessed := $(CURDIR)/.work/nnUNet_preprocessed
export nnUNet_results := $(CURDIR)/.work/nnUNet_results
unexport nnUNet_extTrainer
# A real data set (nnU-Net's raw format, with imagesTs and labelsTs) for the end-to-end test; without one a generated one serves.
TEST_DATASET ?=
export NNUNETV2_LWI_TEST_DATASET := $(TEST_DATASET)
unexport nnUNet_wandb_enabled
unexport PYTHONPATH

# As many processes of pytest; the tests of a module, which may go on from each other, stay in one. In the modules' order: the longest
# have few tests and would come last.
WORKERS ?= 2
PYTEST := $(BIN)/pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder

.PHONY: install demo test lint types docs tests test-all test-matrix mutants soak bench bench-start gpu clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: install
	$(BIN)/nnUNetv2_lwi demo -o $(OUT) --overwrite $(if $(DATASET),-i $(DATASET))

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

types: install
	$(BIN)/mypy

# The site, from docs/; links and anchors are checked, nothing is fetched.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site: .work/site/index.html"

# nnU-Net's processes would spend their time starting, where cases are so few.
tests test-all: export nnUNet_def_n_proc := 1

tests: install
	$(PYTEST) -m "not slow and not soak"

test: lint types docs tests

test-all: lint types
	$(PYTEST) -m "not soak"

test-matrix:
	.ci/matrix

mutants: install
	$(BIN)/python -m pip install --disable-pip-version-check --quiet 'mutmut>=3.8,<4'
	$(BIN)/mutmut run --max-children $(WORKERS)

soak: install
	$(BIN)/pytest -q -m soak

bench: install
	$(BIN)/python -m benchmarks

# What only a GPU can show, within minutes; without one it says so and runs what it can. SECONDS_AT_MOST=N, DATASET=path/to/DatasetXXX_Name
SECONDS_AT_MOST ?= 480
gpu: install
	$(BIN)/python -m benchmarks gpu --seconds $(SECONDS_AT_MOST) $(if $(DATASET),--dataset $(DATASET))

# Both starts in a training that is cut short, on your data: DATASET=path/to/DatasetXXX_Name
bench-start: install
	$(BIN)/python -m benchmarks start $(DATASET)

clean:
	rm -rf $(VENV) .work build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis mutants
