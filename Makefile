# Everything a developer runs. A new machine needs Python >= 3.10 and make; the targets make the environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
# Two at once: they wait for other processes half of the time.
PYTEST := $(RUN) -m pytest -n 2 --dist worksteal
# Codex and the browser have targets of their own.
HERE := -m 'not (slow or codex or browser)'

# What is run from the unpacked sdist: reading, recording, and what needs files beside the package; some 15 seconds.
SDIST_TESTS := tests/test_packaging.py tests/test_public_api.py tests/test_codec.py tests/test_reader.py \
	tests/test_recorder.py tests/test_docs.py tests/test_benchmarks.py tests/web/test_security.py

# Hundreds of tests start a Python of their own; without bytecode each spends 0.6 s on compiling the package.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo install format lint type test test-all test-codex test-browser test-naive cov stress fuzz guarantees docs bench build check clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg | $(BIN)/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: setup.cfg | $(BIN)/python
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed ## record a small agent's session, then load, list and print it
	$(RUN) examples/folder_agent.py

install: $(VENV)/.installed-dev ## editable install with all that developing needs

format: install ## put the code into shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: install ## style, and who imports whom
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports

type: install ## mypy --strict over the package and its API
	$(BIN)/mypy

test: install ## the tests; five to seven minutes on two cores
	$(PYTEST) $(HERE)

test-all: ## the tests on each Python from 3.10 to 3.13 that is found
	$(PYTHON) tests/every_python.py

test-codex: install ## the tests against the real Codex, which npm installs
	$(RUN) tests/codex/install.py
	ROLLOUT_REQUIRE_CODEX=1 $(RUN) -m pytest tests/codex -m codex

test-browser: install ## the pages in a real Chromium, which must be there; axe-core comes from npm
	$(RUN) tests/browser/install.py
	ROLLOUT_REQUIRE_BROWSER=1 $(RUN) -m pytest tests/browser -m browser

test-naive: install ## the tests that a plain port of the original must fail: each does
	$(RUN) tests/guarantees.py --naive

cov: install ## the tests with the coverage gate
	$(PYTEST) $(HERE) --cov --cov-config=setup.cfg --cov-report=term

stress: install ## what takes longer than a test run may, and more examples: some hours on two cores
	$(PYTEST) -m slow -o faulthandler_timeout=900
	$(PYTEST) -m 'hypothesis and not slow' --hypothesis-profile stress

fuzz: install ## random bytes through everything that reads, for ten minutes; needs a Python that atheris knows
	$(RUN) -m pip install --quiet --disable-pip-version-check 'atheris>=3'
	$(RUN) tests/fuzz.py

guarantees: install ## every test of a promise, slow ones too, and docs/guarantees.md from it
	$(RUN) tests/guarantees.py

docs: install ## the documentation, warnings as errors, examples run
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html
	$(BIN)/sphinx-build -q -W -b doctest docs docs/_build/doctest

bench: install ## what everything costs beside its peers: benchmarks/results, in about half an hour
	$(RUN) -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	-$(RUN) tests/codex/install.py
	$(RUN) -m compileall -q rollout
	$(RUN) benchmarks/run.py
	$(RUN) benchmarks/bench_home.py
	$(RUN) benchmarks/bench_see.py

build: install ## sdist and wheel; the sdist is unpacked and tested, the wheel tried in an environment of its own
	rm -rf dist build
	$(RUN) -m build --quiet
	mkdir -p build/sdist
	tar -xzf dist/*.tar.gz -C build/sdist --strip-components 1
	cd build/sdist && $(abspath $(RUN)) -m pytest -q $(SDIST_TESTS)
	$(PYTHON) -m venv --clear build/smoke
	build/smoke/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd build && smoke/bin/python ../examples/folder_agent.py --home smoke/home ..
	build/smoke/bin/rollout; test $$? -eq 2 # says which extra it needs
	build/smoke/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[cli]"
	build/smoke/bin/rollout list --home build/smoke/home
	build/smoke/bin/rollout export @last --home build/smoke/home -o build/smoke/session.html

check: lint type cov docs build ## all of it; what CI runs

clean: ## remove what git ignores
	rm -rf $(VENV) .demo-home .codex-versions .axe-core .screenshots .coverage .coverage.* .hypothesis .*_cache build dist docs/_build *.egg-info
