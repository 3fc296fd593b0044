# Every target makes its own environment: nothing has to be installed by hand.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# what was installed is held against hashes.txt before anything of it runs, by the Python that made the environment
INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt --report $(VENV)/installed.json --editable '.[$(EXTRAS)]' \
	&& $(PYTHON) -I benchmarks/hashes.py $(VENV)/installed.json
OUT ?= out

.PHONY: report test search test-coverage lint acceptance bench versions coverage mutants fuzz crash docs docs-test clean

report: $(VENV)/.llm            ## the main job: everything into one self-contained HTML file
	$(BIN)/elastomath report --preset quick --out $(OUT)/report.html

test: $(VENV)/.dev              ## the default tests (no download, no GPU needed)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

search: $(VENV)/.dev            ## the property tests in search of a counterexample: ten times the examples, others each time
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --hypothesis-profile search --timeout 3000 $(or $(TESTS),tests/property tests/unit)

versions: $(VENV)/.acceptance  ## the tests that meet transformers, trl, peft and lm-eval, under the two newest minor versions of each
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.versions $(PACKAGES)

test-coverage: $(VENV)/.dev     ## lines and branches that the default tests run, of TESTS=folder where that is given
	rm -f .coverage .coverage.*
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -n 2 --dist worksteal --timeout 900 $(TESTS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

acceptance: $(VENV)/.acceptance ## the slow tests: the fetched model, and lm-evaluation-harness beside ours
	OMP_NUM_THREADS=$$(nproc) $(BIN)/python -m pytest -m acceptance --timeout 1800

bench: $(VENV)/.bench             ## one table: our speed as ratios to peers, in one run
	$(BIN)/python -m benchmarks

coverage: $(VENV)/.dev         ## coverage of the fit's intervals on simulated curves, into docs/coverage.md (3 to 8 min)
	$(BIN)/python -m benchmarks.coverage

mutants: $(VENV)/.dev          ## break elastomath/ at random and see which test notices, into docs/mutants.md
	$(BIN)/python -m benchmarks.mutants --seed 0 --count 100

crash: $(VENV)/.dev           ## crashes at random writes, and kills, of every verb that writes: N (500) of SEED (0)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.crashes --seed $(or $(SEED),0) --count $(or $(N),500)

fuzz: $(VENV)/.dev            ## bad input over every verb, for SECONDS (600) from SEED (0): exit 2, one line, nothing left
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fuzz --seed $(or $(SEED),0) --seconds $(or $(SECONDS),600)

docs: $(VENV)/.dev             ## the static site, into out/site; a warning or a dead link stops it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir $(OUT)/site

docs-test: $(VENV)/.dev        ## the tests of the site: built without its notebooks' outputs, every page read
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m site tests/integration/test_docs.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.llm: EXTRAS = llm,encode
$(VENV)/.llm: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL)
	@touch $@

$(VENV)/.dev: EXTRAS = llm,encode,preference,slurm,dask,docs,dev
$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL)
	@touch $@

$(VENV)/.bench: EXTRAS = llm,encode,preference,slurm,dask,dev,bench
$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL)
	@touch $@

$(VENV)/.acceptance: EXTRAS = llm,encode,preference,slurm,dask,dev,acceptance
$(VENV)/.acceptance: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL)
	@touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist *.egg-info
