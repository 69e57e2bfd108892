# make book   set up .venv, get the data, execute the notebooks, build the book strictly
#             DATASET=yours.npz adds pages of your own data, PARAMETERS="-p num_steps=30" sets what they run with
# make test   the same set-up, then everything that CI checks
# make paper  train every run that the book can show and that is not recorded yet; CIFAR-10 in its reduced size
# make bench  measure what a private step costs on this machine, about 10 minutes on 2 cores
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DATASET ?=
PARAMETERS ?=
JOBS ?= 2

.PHONY: bench book test lint notebooks html paper clean check-python

book: notebooks html

notebooks: $(READY)
	$(BIN)/python -m cnndp data
	$(BIN)/python notebooks/run.py --jobs $(JOBS) $(if $(DATASET),--dataset "$(DATASET)" $(PARAMETERS))
	$(BIN)/python book/readme.py

html: $(READY)
	rm -rf _build/html _build/.doctrees
	$(BIN)/jupyter-book build . --all -W -n --keep-going $(if $(DATASET),--toc _build/toc.yml)
	$(BIN)/python book/check_html.py _build/html

# nbval comes first: it must see the committed notebooks, not ones that were just rebuilt.
test: $(READY)
	$(BIN)/python -m cnndp data
	OMP_NUM_THREADS=1 CNNDP_PROGRESS=/dev/null $(BIN)/python -m pytest -c tests/pytest.ini --rootdir . \
	  --nbval notebooks/runs -n 2 --dist loadscope -q
	$(MAKE) lint
	$(BIN)/python -m pytest -c tests/pytest.ini --rootdir . --doctest-modules cnndp tests -q
	$(BIN)/python -m cnndp replay --cover
	$(BIN)/python -m cnndp replay --full --draw 120
	$(MAKE) book
	git diff --exit-code -- notebooks/runs README.md _toc.yml

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

bench: $(READY)
	$(BIN)/python -m cnndp bench

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
	  "Python 3.11 or newer is needed, %s is %d.%d; run: make PYTHON=python3.12" % (sys.executable, *sys.version_info[:2]))'

$(READY): constraints.txt pyproject.toml | check-python
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[audit,book,test]"
	touch $(READY)
