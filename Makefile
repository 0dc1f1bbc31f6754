# Everything a fresh clone needs: `make demo` shows the main job, `make test` runs all tests. Both set up what they need.
.PHONY: demo test test-fast bench lint format lock clean

VENV := .venv/.ready
CODEX := tests/codex/node_modules/.ready
CODEX_BIN := $(CURDIR)/tests/codex/node_modules/.bin
PYTEST := .venv/bin/python -m pytest

demo: $(VENV)
	@$(MAKE) --no-print-directory $(CODEX) || echo "The pinned Codex CLI could not be installed; the demo uses what it finds."
	@PATH="$(CODEX_BIN):$$PATH" .venv/bin/codex-sidecar demo

test: $(VENV) $(CODEX) lint
	@scripts/setup.sh system
	$(PYTEST) -n 2 --dist worksteal --durations=25

test-fast: $(VENV) $(CODEX)
	$(PYTEST) -n 2 -m "not slow"

bench: $(VENV) $(CODEX)
	.venv/bin/python -m benchmarks

lint: $(VENV)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: $(VENV)
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The lock files hold every package with its hashes, for all supported Pythons.
lock: $(VENV)
	.venv/bin/python -m pip install -q uv
	.venv/bin/uv pip compile --universal --generate-hashes --python-version 3.10 --no-emit-index-url -q pyproject.toml \
	  -o requirements/runtime.txt --custom-compile-command "make lock"
	.venv/bin/uv pip compile --universal --generate-hashes --python-version 3.10 --no-emit-index-url -q pyproject.toml \
	  --group dev -o requirements/dev.txt --custom-compile-command "make lock"
	.venv/bin/uv pip compile --universal --generate-hashes --python-version 3.10 --no-emit-index-url -q \
	  tests/mcp_clients/requirements.in -o tests/mcp_clients/requirements.txt --custom-compile-command "make lock"

clean:
	rm -rf .venv build dist tests/codex/node_modules tests/vscode/node_modules tests/mcp_clients/node_modules \
	  vscode-extension/node_modules

$(VENV): requirements/dev.txt pyproject.toml scripts/setup.sh
	scripts/setup.sh venv
	@touch $@

$(CODEX): tests/codex/package.json tests/codex/package-lock.json
	scripts/setup.sh codex
	@touch $@
