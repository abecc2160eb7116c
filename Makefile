# Every target sets up what it needs; `make` alone lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
READY := .venv/.ready
# Assertions are what the tests and the notebooks are made of.
unexport PYTHONOPTIMIZE
# Outputs are compared number for number, so notebooks always run on the same backend.
export MPLBACKEND ?= module://matplotlib_inline.backend_inline

.PHONY: help lab test quick lint browser unit nbval notebooks book serve films vendor site site-pages site-reading site-folder site-lab bench bench-site soak mutants pins clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST) | sort

$(READY): pyproject.toml constraints.txt notebooks/lab_settings.json
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; try: make PYTHON=python3.12 test")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python tools/cpu_torch.py
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[lab,test,book]"
	mkdir -p .venv/share/jupyter/lab/settings
	cp notebooks/lab_settings.json .venv/share/jupyter/lab/settings/overrides.json
	touch $(READY)

lab: export JUPYTERLAB_WORKSPACES_DIR := $(CURDIR)/.venv/share/jupyter/lab/workspaces
lab: $(READY)  ## open the course in JupyterLab, in a copy of your own, work/
	$(BIN)/python tools/work_copy.py
	$(BIN)/python -m jupyter trust work/*.ipynb
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m jupyterlab --LabApp.default_url=/lab/workspaces/course/tree/work/00_start.ipynb $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_FLAGS)

# Two at a time, one thread each: the longest first, and the website as soon as one of them has ended. JupyterLab alone.
test: lint browser  ## everything CI checks: style, library, notebooks, site
	OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j2 nbval unit site-pages site-reading site-folder
	$(MAKE) --no-print-directory site-lab

quick: lint  ## style, types and the course's own tests: no browser, no training, a minute
	$(BIN)/python -m pytest tests/course

lint: $(READY)  ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check diffusion_edu tools tests
	$(BIN)/basedpyright

browser: $(READY)  ## have a browser for the tests, installing one if there is none
	$(BIN)/python tools/browsing.py

unit: $(READY)  ## the library's tests only
	$(BIN)/python -m pytest tests

# Notebooks have a font cache of their own, made before: without one matplotlib says so in the first cell's output.
nbval notebooks: export MPLCONFIGDIR := $(CURDIR)/.venv/matplotlib

nbval: $(READY)  ## re-run the notebooks and compare every stored output
	$(BIN)/python -c 'import matplotlib.font_manager'
	$(BIN)/python -m pytest --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout=600 --durations=0 notebooks

notebooks: $(READY)  ## execute all notebooks afresh from their text, in place
	$(BIN)/python -c 'import matplotlib.font_manager'
	$(BIN)/python tools/notebooks.py write

book: $(READY)  ## build the website into book/_build/html, warnings are errors
	$(BIN)/python tools/build_book.py

serve: $(READY)  ## build the website and serve it on this machine, on PORT=8000 or another
	$(BIN)/python tools/build_book.py --serve $(or $(PORT),8000)

films: $(READY)  ## make the course's films anew from its published weights
	$(BIN)/python tools/films.py

vendor: $(READY)  ## fetch the website's third-party scripts anew, at pinned versions (needs npm)
	$(BIN)/python tools/vendor.py

site: site-pages site-reading site-folder site-lab  ## check the built website and JupyterLab in a real browser

site-pages: book
	$(BIN)/python -m pytest tests/site/site_pages.py

site-reading: book
	$(BIN)/python -m pytest tests/site/site_reading.py tests/site/site_widgets.py

site-folder: book
	$(BIN)/python -m pytest tests/site/site_folder.py

site-lab: $(READY)
	$(BIN)/python -m pytest tests/site/site_lab.py

bench: $(READY)  ## measure the table in docs/measured.md (about 15 minutes)
	$(BIN)/python tools/bench/library.py

bench-site: book  ## measure the website's table in docs/measured.md (about 10 minutes)
	$(BIN)/python tools/bench/website.py

soak: $(READY)  ## odd options, killed runs, damaged files: see that nothing is lost (about 5 minutes)
	$(BIN)/python tools/soak.py

mutants: $(READY)  ## seed one-line bugs, one at a time, and see the tests catch each
	$(BIN)/python tools/mutants.py

pins: $(READY)  ## make constraints.txt anew from pyproject.toml (needs uv)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python tools/pins.py

clean:  ## remove .venv and everything built
	rm -rf .venv book/_build book/notebooks book/api .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
