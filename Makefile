# One word per job; `make help` lists them. Set-up is part of each job and done once per state of the lock files.

.DEFAULT_GOAL := help
.PHONY: help run services services-stop cluster test coverage lint dist bench proof lock clean

VENV := .venv
BIN := $(VENV)/bin
DIST := dist
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The first Python that runs and is new enough. Version managers put names into PATH that don't run, so each is tried.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3 python3.14,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
# Set-up is marked as done by files named after the checksum of what it was made from.
MADE := $(VENV)/.made
RUN_READY := $(VENV)/.run-$(shell cksum < requirements/run.lock | cut -d ' ' -f 1)
DEV_READY := $(VENV)/.dev-$(shell cat requirements/dev.lock pyproject.toml | cksum | cut -d ' ' -f 1)
# The floors where a branch that no test takes is a defect.
CORE := stompgate/model/*,stompgate/ports/*,stompgate/stomp/*,stompgate/timing/*,stompgate/broker/*,stompgate/chat/*,stompgate/access/*,stompgate/gateway/*
# Tests wait more than they work, for time-outs and for servers to start. Those of a module share the servers that it starts, so
# they stay together; tests/conftest.py says which modules come first.
WORKERS := 4
PYTEST := pytest --numprocesses $(WORKERS) --dist loadscope --no-loadscope-reorder
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-emit-options --no-header --allow-unsafe --resolver=backtracking

help: ## list the jobs
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 20

run: $(RUN_READY) ## run a server with everything inside it; it says which page to open
	@mkdir -p var
	@exec $(BIN)/python -m stompgate serve

services: $(DEV_READY) ## start MariaDB, Kafka and Redis on loopback ports, data in var/services; prints the settings that name them
	@sh tests/set-up.sh services
	@$(BIN)/python -m tests.services start

services-stop: $(DEV_READY) ## end them; their data stays
	@$(BIN)/python -m tests.services stop

cluster: $(DEV_READY) ## those three and two servers on them, on ports 8070 and 8071, until Ctrl-C
	@sh tests/set-up.sh services
	@$(BIN)/python -m tests.services.cluster

test: $(DEV_READY) lint ## set up all that the tests need, lint, run them
	@sh tests/set-up.sh
	@$(BIN)/python -m $(PYTEST)

coverage: $(DEV_READY) ## the same tests, which takes half as long again, and the branches that none of them takes
	@sh tests/set-up.sh
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m $(PYTEST)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report
	@printf 'model to gateway, %%: '
	@$(BIN)/coverage report --format=total --fail-under=97 --include='$(CORE)'

lint: $(DEV_READY) ## ruff and mypy
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run $(BIN)/ruff format ." >&2; exit 1; }
	@$(BIN)/mypy

dist: $(DEV_READY) ## the wheel, the sdist, and a bundle that installs on a machine of one's own (docs/operations/install.md), in dist/
	@rm -rf $(DIST)
	@$(BIN)/python -m hatchling build --target sdist --target wheel --directory $(abspath $(DIST)) >/dev/null
	@bundle=stompgate-$$($(BIN)/python -m hatchling version) && mkdir $(DIST)/$$bundle && \
		cp -R $(DIST)/$$bundle-*.whl requirements/run.lock deploy/systemd deploy/ec2 $(DIST)/$$bundle && \
		tar -C $(DIST) --owner=0 --group=0 --sort=name -czf $(DIST)/$$bundle-bundle.tar.gz $$bundle && rm -r $(DIST)/$$bundle
	@cd $(DIST) && sha256sum *.tar.gz *.whl > SHA256SUMS && ls

bench: $(DEV_READY) ## measure server CPU per message and memory per connection; asserts nothing
	@$(BIN)/python -m bench

proof: $(DEV_READY) ## the long forms: WebSocket cases, STOMP against a second reader, 10,000 simulated schedules, torture of one server and of a group, the store on MySQL, one long sequence
	@$(BIN)/python -m tests.transports.test_autobahn
	@$(BIN)/python -m tests.stomp.oracle --examples 20000
	@$(BIN)/python -m tests.simulation --schedules 10000
	@$(BIN)/python -m tests.torture --store sqlite --minutes 5 --trouble-every-s 0.2
	@$(BIN)/python -m tests.torture --store sqlite --minutes 1 --rooms 1 --every-ms 20 --trouble-every-s 30 --drop-every-s 0.05
	@$(BIN)/python -m tests.torture --minutes 15
	@$(BIN)/python -m tests.torture --minutes 15 --brokers 3
	@sh tests/set-up.sh mysql
	@TEST_DATABASE=mysql $(BIN)/python -m pytest --quiet tests/stores tests/ports -k "mysql or faults or archive"
	@TEST_DATABASE=mysql $(BIN)/python -m tests.torture --minutes 5
	@$(BIN)/python -m tests.torture.one_sequence --messages 100000

lock: $(DEV_READY) ## bring the lock files up to date with pyproject.toml and requirements/dev.in
	@$(PIP) uninstall --yes stompest # where it is installed its own setup.py, which the compiler runs, fails
	@rm -f $(VENV)/.dev-*
	@$(COMPILE) --upgrade --output-file requirements/run.lock pyproject.toml
	@$(COMPILE) --upgrade --output-file requirements/dev.lock requirements/dev.in
	@npm install --prefix tests/node --package-lock-only --omit-lockfile-registry-resolved --no-fund --no-audit --silent

clean: ## remove everything that was made here, but not var/ with the data
	@rm -rf $(VENV) tests/node/node_modules tests/services/java/jars tests/services/.mysql tests/spring/target build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find stompgate tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@test -n "$(PYTHON)" || { echo "stompgate needs Python 3.11 or newer, and there is none in PATH" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module; on Debian the package python3-venv brings it" >&2; exit 1; }
	@echo >&2 "setting up $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(RUN_READY): | $(MADE)
	@echo >&2 "installing requirements/run.lock"
	@$(PIP) install --no-deps --require-hashes --requirement requirements/run.lock
	@rm -f $(VENV)/.run-* && touch $@

$(DEV_READY): | $(MADE)
	@echo >&2 "installing requirements/dev.lock"
	@$(PIP) install --no-deps --require-hashes --requirement requirements/dev.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@rm -f $(VENV)/.run-* $(VENV)/.dev-* && touch $(RUN_READY) $@
