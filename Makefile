# Every target makes the environment it needs from a bare python3; a second run starts at once.
PYTHON ?= python3
TORCH ?= torch==2.13.0
export IMAGES ?=
BIN := .venv/bin

.PHONY: demo demo-library test lint docs bench clean

demo: .venv/demo.done  ## Caption photographs: scikit-image's, or yours with IMAGES=folder
	@$(BIN)/python examples/demo.py "$$IMAGES"

demo-library: .venv/library.done  ## A photo library of the demo photographs: indexed, searched, shown in the browser; NO_SERVE=1 ends after the search
	@$(BIN)/python examples/demo_library.py

test: .venv/dev.done lint  ## Lint, types and the whole test suite
	$(BIN)/python -m pytest -n 2

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/dev.done  ## Write docs/cli.md from the commands themselves
	$(BIN)/python -m seesay.cli.reference > docs/cli.md.new && mv docs/cli.md.new docs/cli.md

bench: .venv/dev.done  ## The README's table of speeds, on this machine
	$(BIN)/python bench/blip_base.py

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/pip:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip

.venv/demo.done: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable '.[demo]'
	@touch $@

.venv/library.done: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --editable '.[demo,server]'
	@touch $@

# torch comes first and in one version: a looser request fetches gigabytes of CUDA libraries.
.venv/dev.done: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ .venv/demo.done .venv/library.done
