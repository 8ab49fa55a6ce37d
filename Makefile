# make demo    watch an image arrive in two other regions, on this machine alone
# make check   format, lint, types, import contracts, unit tests with the core covered by branch
# make test    check, then every other test; on Debian, root gets the judges installed
# make fuzz    hostile inputs by the million, for a quarter of an hour at most each kind (FUZZ_FLAGS=--seed=N repeats)
# make chaos   tests that take long: ten thousand events and hundreds of faults, from five seeds
# make lock    write requirements.lock anew from pyproject.toml (LOCK_FLAGS=--upgrade moves the pins)
# make clean   remove what these made
#
# All of it runs from .venv, which holds exactly what requirements.lock names, checked by hash. It needs Python 3.11 or
# later and uses uv where there is one, but does not need it.

.DEFAULT_GOAL := check
.NOTPARALLEL:
.PHONY: demo check test fuzz chaos judges lock clean

BIN := .venv/bin
STAMP := .venv/.installed
CORE := oci platforms signing events rules jobs conflicts verdict plan drift estimate limits
# Tests that bear company: each has servers of its own, and asserts nothing of the time that others may take from it.
SHARED := tests/conformance tests/integration/transfer tests/integration/resync tests/integration/ledger
# Real servers and clients that the integration tests are judged by. Debian's packages have the names of the programs.
JUDGES := docker-registry redis-server skopeo nginx

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# As pip does: a company's own CA is known to the system, not to uv.
export UV_SYSTEM_CERTS ?= true

UV := $(shell command -v uv)
PYTHON = $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

ifdef UV
MAKE_VENV = uv venv --quiet --allow-existing --python $(PYTHON) .venv
INSTALL = uv pip install --quiet --python $(BIN)/python
else
MAKE_VENV = $(PYTHON) -m venv .venv
INSTALL = $(BIN)/python -m pip install --quiet
endif

demo: $(STAMP)
	$(BIN)/replicator demo

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/unit -q -n 2 $(CORE:%=--cov=replicator.%) --cov-branch --cov-fail-under=100 \
		--cov-report=term-missing:skip-covered

test: check judges
	$(BIN)/pytest $(SHARED) -q -n 2
	$(BIN)/pytest tests --ignore=tests/unit $(SHARED:%=--ignore=%)

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz $(FUZZ_FLAGS)

chaos: $(STAMP) judges
	$(BIN)/pytest tests -q -m chaos
	$(BIN)/python -m tests.chaos.deletes 10000
	$(BIN)/python -m tests.chaos --seeds 1 2 3 4 5
	$(BIN)/python -m tests.chaos --seeds 1 2 --kill-sources

judges:
	@absent=; for judge in $(JUDGES); do command -v $$judge >/dev/null || absent="$$absent $$judge"; done; \
	if [ -z "$$absent" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		export DEBIAN_FRONTEND=noninteractive; \
		apt-get update -q && apt-get install -q -y --no-install-recommends $$absent; \
	else \
		echo "Absent judges, whose tests will be skipped:$$absent (on Debian: apt-get install$$absent)"; \
	fi

lock: $(STAMP)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra dev \
		--no-strip-extras \
		$(LOCK_FLAGS) -o requirements.lock pyproject.toml

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* htmlcov dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { \
		echo "Python 3.11 or later is needed (on Debian: apt-get install python3 python3-venv)." >&2; exit 1; }
ifndef UV
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments (on Debian: apt-get install python3-venv)." >&2; exit 1; }
endif
	$(MAKE_VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
