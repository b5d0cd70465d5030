# Every target builds the environment first, so that a fresh clone needs nothing else than Python 3.10 or later.
#   make quickstart    train, corrupt, attack, sweep lambda and report, small and offline
#   make test          the tests, on up to four cores (make test TESTS="tests/reports -m slow")
#   make lowest        the tests with the lowest versions that setup.cfg allows, in an environment of its own (6 GB)
#   make check         format, lint, types
#   make bench         the speed benchmarks, each beside a named peer (BENCH="attacks corruptions")
#   make docs          the documentation as a site, build/docs/index.html, with an environment of its own
#   make dist          the wheel and the source archive in dist/, checked outside the tree
#   make env           only the environment; the last line is the path of its Python
PYTHON ?= python3
VENV ?= .venv
DOCS_VENV ?= $(VENV)-docs
TESTS ?= tests
SPREAD = --numprocesses auto --maxprocesses 4 --dist loadfile
BENCH ?= $(patsubst benchmarks/%.py,%,$(wildcard benchmarks/*.py))
RUN = $(abspath $(VENV))/bin

.PHONY: env quickstart test lowest check bench docs dist

env:
	@bash .ci/environment "$(VENV)" "$(PYTHON)"

.PHONY: .ready
.ready:
	@bash .ci/environment "$(VENV)" "$(PYTHON)" >/dev/null

quickstart: .ready
	@"$(RUN)/sdnet-bench" quickstart

test: .ready
	@"$(RUN)/python" -m pytest $(SPREAD) $(TESTS)

lowest:
	@bash .ci/lowest "$(VENV)-lowest" "$(PYTHON)"
	@"$(abspath $(VENV))-lowest/bin/python" -m pytest $(SPREAD) $(TESTS)

check: .ready
	@"$(RUN)/ruff" format --check .
	@"$(RUN)/ruff" check .
	@"$(RUN)/mypy"

bench: .ready
	@set -e; for name in $(BENCH); do echo "== $$name"; "$(RUN)/python" benchmarks/$$name.py; done

docs:
	@bash .ci/docs "$(DOCS_VENV)" "$(PYTHON)"

dist: .ready
	@bash .ci/dist "$(RUN)" dist
