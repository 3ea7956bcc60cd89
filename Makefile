# The commands of a developer. A new machine needs Python >= 3.10 and make; the targets make the environment.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
# Two processes, because a run waits for other processes half of the time.
PYTEST := $(RUN) -m pytest -n 2 --dist worksteal
# Codex and the browser have targets of their own.
DEFAULT := -m 'not (slow or codex or browser)'

# The tests of the unpacked sdist: reading, recording, and all tests that need files outside the package; about 15 seconds.
SDIST_TESTS := tests/test_packaging.py tests/test_public_api.py tests/test_codec.py tests/reading/test_lines.py \
	tests/recording/test_recorder.py tests/test_docs.py tests/test_benchmarks.py tests/web/test_security.py

# Hundreds of tests start a Python process; without bytecode each one compiles the package in 0.6 s.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo install format lint type test test-all test-lowest test-codex drift test-browser test-frameworks test-naive cov stress fuzz guarantees docs bench build check clean

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

install: $(VENV)/.installed-dev ## editable install with all developer tools

format: install ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lint: install ## style, and the layers of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports

type: install ## mypy --strict over the package and its API, pyright over the API
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright --pythonpath $(RUN) --pythonversion 3.10 tests/typing/api.py

test: install ## the tests; about four minutes on two cores
	$(PYTEST) $(DEFAULT)

test-all: ## the tests on each Python from 3.10 to 3.14 that is found
	$(PYTHON) tests/every_python.py

test-lowest: ## the tests with the lowest versions of the dependencies, on Python 3.10
	$(PYTHON) tests/every_python.py --lowest

test-codex: install ## the tests with the real Codex, which npm installs
	$(RUN) tests/codex/install.py
	ROLLOUT_REQUIRE_CODEX=1 $(RUN) -m pytest tests/codex -m codex

drift: install ## compare a version of Codex with this package: make drift VERSION=0.169.0
	$(RUN) tests/codex/drift/run.py $(VERSION)

test-browser: install ## the pages in a real Chromium, which must be installed; axe-core comes from npm
	$(RUN) tests/browser/install.py
	ROLLOUT_REQUIRE_BROWSER=1 $(RUN) -m pytest tests/browser -m browser

test-frameworks: install ## the adapters with the real frameworks, each in an environment of its own
	ROLLOUT_REQUIRE_FRAMEWORKS=1 $(RUN) tests/frameworks/run.py

test-naive: install ## check that a plain port of the original fails the tests that are marked so
	$(RUN) tests/guarantees.py --naive

cov: install ## the tests with the coverage gate
	$(PYTEST) $(DEFAULT) --cov --cov-config=setup.cfg --cov-report=term

stress: install ## the slow tests, and more examples: some hours on two cores
	$(PYTEST) -m slow -o faulthandler_timeout=900
	$(PYTEST) -m 'hypothesis and not slow' --hypothesis-profile stress

fuzz: install ## random bytes through every reader, for ten minutes; needs a Python that atheris supports
	$(RUN) -m pip install --quiet --disable-pip-version-check 'atheris>=3'
	$(RUN) tests/fuzz.py

guarantees: install ## every test of a guarantee, also the slow ones; writes docs/guarantees.md
	$(RUN) tests/guarantees.py

docs: install ## the documentation, with warnings as errors; runs its examples
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html
	$(BIN)/sphinx-build -q -W -b doctest docs docs/_build/doctest

bench: install ## the benchmarks, compared with other libraries; writes benchmarks/results in about half an hour
	$(RUN) -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	-$(RUN) tests/codex/install.py
	$(RUN) -m compileall -q rollout
	$(RUN) benchmarks/run.py
	$(RUN) benchmarks/bench_home.py
	$(RUN) benchmarks/bench_see.py
	$(RUN) benchmarks/bench_instrument.py

build: install ## sdist and wheel; tests the unpacked sdist, and the wheel in an empty environment
	rm -rf dist build
	$(RUN) -m build --quiet
	mkdir -p build/sdist
	tar -xzf dist/*.tar.gz -C build/sdist --strip-components 1
	cd build/sdist && $(abspath $(RUN)) -m pytest -q $(SDIST_TESTS)
	$(PYTHON) -m venv --clear build/smoke
	build/smoke/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd build && smoke/bin/python ../examples/folder_agent.py --home smoke/home ..
	build/smoke/bin/rollout; test $$? -eq 2 # names the missing extra
	build/smoke/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[cli]"
	build/smoke/bin/rollout list --home build/smoke/home
	build/smoke/bin/rollout export @last --home build/smoke/home -o build/smoke/session.html

check: lint type cov docs build ## all checks before a push

clean: ## remove the files that git ignores
	rm -rf $(VENV) .venv-all .demo-home .codex-versions .frameworks .axe-core .screenshots .coverage .coverage.* .hypothesis .*_cache build dist docs/_build *.egg-info
