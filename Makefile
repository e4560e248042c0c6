# Needs python3.11 or newer, make and git. Every target sets up .venv itself, once.

# The first of these that is new enough and can make virtual environments; `make PYTHON=...` takes another.
candidates := python3 python3.13 python3.12 python3.11 python3.14 python
usable = $(if $(1),$(shell $(1) -c 'import ensurepip, venv, sys; print("yes" * (sys.version_info >= (3, 11)))' 2>/dev/null))
PYTHON ?= $(firstword $(foreach name,$(candidates),$(if $(filter yes,$(call usable,$(name))),$(name))))

# More arguments for pip, such as another index with builds of torch for your machine.
PIP_FLAGS ?=

bin := .venv/bin
installed := .venv/.installed
# One thread per worker: the workers share the cores.
quietly := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.PHONY: demo test test-transformers lint docs bench bench-peers venv clean
.DEFAULT_GOAL := venv

demo: $(installed)
	$(bin)/thresher demo --out demo-run

test: $(installed)
	$(quietly) $(bin)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

# What thresher needs of transformers without its promise, with the oldest and the newest version that pyproject.toml allows.
test-transformers: $(installed)
	$(quietly) $(bin)/python tests/on_transformers.py

lint: $(installed)
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy
	$(bin)/lint-imports

# The site, into site/; broken links and references fail.
docs: $(installed)
	NO_MKDOCS_2_WARNING=1 $(bin)/mkdocs build --strict --quiet

# Hours; resumes. Each figure is written to research/benchmarks/bench.json when it is measured; --again in a script repeats it.
bench: $(installed)
	$(quietly) $(bin)/python -m research.benchmarks.measuring
	$(quietly) $(bin)/python -m research.benchmarks.memory
	$(bin)/python -m research.benchmarks.selection --rows 10900000
	$(bin)/python -m research.benchmarks.selection --rows 100000000 --modes streamed
	$(bin)/python -m research.benchmarks.render

# Self-influence beside other libraries, which have an environment of their own.
bench-peers: .bench-venv/.installed
	$(quietly) .bench-venv/bin/python -m research.benchmarks.peers
	$(quietly) .bench-venv/bin/python -m research.benchmarks.completions

venv: $(installed)

clean:
	rm -rf .venv .bench-venv .transformers-oldest .transformers-newest build dist site demo-run .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(installed): pyproject.toml constraints.txt | $(bin)/python
	$(bin)/python -m pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e ".[dev]"
	@touch $@

peers := research/benchmarks/self_influence/requirements
.bench-venv/.installed: pyproject.toml constraints.txt $(peers).txt $(peers)-peers.txt | $(bin)/python
	$(bin)/python -m venv .bench-venv
	.bench-venv/bin/python -m pip install --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e ".[demo]" -r $(peers).txt
	.bench-venv/bin/python -m pip install --disable-pip-version-check $(PIP_FLAGS) --no-deps -r $(peers)-peers.txt
	@touch $@

$(bin)/python:
	@if [ "$(call usable,$(PYTHON))" != yes ]; then \
	  echo "No Python 3.11 or newer that can make virtual environments$(if $(PYTHON), ($(PYTHON) is not one))."; \
	  echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11"; \
	  exit 1; \
	fi >&2
	$(PYTHON) -m venv .venv
