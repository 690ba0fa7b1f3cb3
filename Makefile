# Everything a developer or an operator types. `uv` is used when it is there, else venv and pip.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
export PYTHONDONTWRITEBYTECODE =
# Most tests wait for processes and sockets: three at a time, each file in one of them.
AT_A_TIME ?= 3
PYTEST := $(BIN)/python -m pytest -n $(AT_A_TIME) --dist loadfile

.PHONY: install install-dev run example test check format bench docs lock clean

# An environment of an older Python, or one without the pip that is needed now, is made again.
usable := import sys$(if $(UV),,, pip); sys.exit(sys.version_info < (3, 11))
new_enough := import sys; v = sys.version_info; \
	sys.exit("Penstock needs Python 3.11 or newer, and $(PYTHON) is %s.%s. Name another: make run PYTHON=python3.11" % v[:2] if v < (3, 11) else 0)

define make_venv
	@$(PYTHON) -c '$(new_enough)'
	@$(BIN)/python -c '$(usable)' 2>/dev/null || test ! -f $(VENV)/pyvenv.cfg || rm -rf $(VENV)
	@test -x $(BIN)/python || $(if $(UV),uv venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv $(VENV))
	@echo "Installing the locked packages into $(VENV); the first time this takes a minute."
endef
define install_locked
	@$(if $(UV),uv pip install --quiet --python $(BIN)/python --require-hashes -r $(1),$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1))
	@$(if $(UV),uv pip install --quiet --python $(BIN)/python --no-deps -e .,$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .)
endef

install: $(VENV)/.installed  ## the service, with locked versions
install-dev: $(VENV)/.installed-dev  ## the service and what its tests need

$(VENV)/.installed: requirements.txt pyproject.toml
	$(make_venv)
	$(call install_locked,requirements.txt)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt pyproject.toml
	$(make_venv)
	$(call install_locked,requirements-dev.txt)
	@touch $@ $(VENV)/.installed

run: install  ## start on 127.0.0.1:8000 with a demo tenant, and print what to try
	@$(BIN)/penstock serve --demo

example: install  ## an editor in the browser in front of the service; needs Node.js for TinyMCE
	@$(BIN)/python examples/editor/start.py $(ARGS)

test: install-dev  ## every test; what needs a missing server is skipped, with the reason
	@$(PYTEST) $(ARGS)

check: install-dev  ## format, lint, types, import contracts, docs that can drift, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/penstock docs --check
	$(PYTEST) $(ARGS)

format: install-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install-dev  ## print the table of bench/RESULTS.md for this machine
	@$(BIN)/python -m bench $(ARGS)

docs: install  ## write the documents that are generated from the code
	@$(BIN)/penstock docs

lock:  ## compile the requirements files again (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra dev pyproject.toml -c requirements.txt -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
