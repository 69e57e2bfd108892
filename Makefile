# make book   set up .venv, get the data, execute the notebooks, build the book strictly
#             DATASET=yours.npz adds pages of your own data, PARAMETERS="-p num_steps=30" sets what they run with
# make quick  lint, types and the tests that train nothing
# make test   the same set-up, then everything that CI checks
# make paper  train every run that the book can show and that is not recorded yet; CIFAR-10 in its reduced size
# make pdf    print the book that `make html` built, with contents and links, into _build/cnndp.pdf
# make faults try more than 20,000 generated inputs, and keep the count, about 10 minutes on 2 cores
# make bench  measure what a private step costs on this machine, about 10 minutes on 2 cores
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DATASET ?=
PARAMETERS ?=
JOBS ?= 2

PYTEST := $(BIN)/python -m pytest -c tests/pytest.ini --rootdir . -q
# What looks at built pages in Chromium comes after the build.
WITHOUT_PAGES := --ignore tests/browser
# One thread a process: the tensors of most tests are small, and threads that wait for each other cost more than they give.
ONE := OMP_NUM_THREADS=1 CNNDP_PROGRESS=/dev/null

.PHONY: bench book browser check-chromium faults quick replays test lint notebooks html pdf paper clean check-python

book: notebooks html

notebooks: $(READY)
	$(BIN)/python -m cnndp data
	$(BIN)/python notebooks/run.py --jobs $(JOBS) $(if $(DATASET),--dataset "$(DATASET)" $(PARAMETERS))
	$(if $(DATASET),,$(BIN)/python notebooks/codecheck.py)
	$(BIN)/python book/readme.py

html: $(READY)
	rm -rf _build/html _build/.doctrees
	$(BIN)/jupyter-book build . --all -W -n --keep-going $(if $(DATASET),--toc _build/toc.yml)
	$(BIN)/python book/check_html.py _build/html

quick: $(READY)
	$(MAKE) lint
	$(ONE) $(PYTEST) -n $(JOBS) --dist loadgroup $(WITHOUT_PAGES) -m "not slow" tests

# Each notebook is executed once: nbval compares everything that it shows, pictures byte for byte, with what is committed.
# Pages of a user's own file are not: they do not say where the file lies.
test: $(READY) check-chromium
	$(MAKE) lint
	$(BIN)/python -m cnndp data
	$(ONE) $(PYTEST) --nbval notebooks/runs --ignore-glob '*/runs/npz-*' -n $(JOBS) --dist loadscope
	$(ONE) $(PYTEST) -n $(JOBS) --dist loadgroup $(WITHOUT_PAGES) --doctest-modules cnndp tests
	$(MAKE) -j 2 --output-sync=recurse replays html
	$(MAKE) browser
	$(BIN)/python book/readme.py
	git diff --exit-code -- notebooks/runs README.md _toc.yml codecheck.yml

# One record of every kind for some steps, and a sample, drawn by commit, to the end.
replays: $(READY)
	$(ONE) $(BIN)/python -m cnndp replay --cover --jobs $(JOBS)
	$(ONE) $(BIN)/python -m cnndp replay --full --draw 60 --jobs $(JOBS)

browser: $(READY) check-chromium
	$(ONE) $(PYTEST) -n $(JOBS) tests/browser

pdf: $(READY) check-chromium
	$(BIN)/python book/pdf.py _build/html _build/cnndp.pdf $(if $(DATASET),--toc _build/toc.yml)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python book/check_prose.py
	$(BIN)/mypy

paper: $(READY)
	$(BIN)/python -m cnndp data
	$(BIN)/python -m cnndp sweep --profile paper --datasets mnist,fashion_mnist
	$(BIN)/python -m cnndp sweep --profile reduced --datasets cifar10

# A multiple of the inputs that `make test` tries, never the same; the count goes to book/results/faults. Real clusters, too.
faults: $(READY)
	CNNDP_FAULTS=22 $(ONE) $(PYTEST) tests/faults tests/runs/test_executors.py

bench: $(READY)
	$(BIN)/python -m cnndp bench

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	  "Python 3.11 or newer is needed, %s is %d.%d; run: make PYTHON=python3.12" % (sys.executable, *sys.version_info[:2]))'

check-chromium: $(READY)
	@$(BIN)/python book/chromium.py

$(READY): constraints.txt pyproject.toml | check-python
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[audit,book,test]"
	touch $(READY)
