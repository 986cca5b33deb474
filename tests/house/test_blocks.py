"""Every block of code on a page is run by a test, or each of its lines says here which test does, or why none can.

``sh`` and ``mysql`` are run as they stand, by the test file of their page; it unpacks the page's blocks by number, so that one
more fails it. ``text`` is what a command before it prints. ``console`` is looked up in ``ELSEWHERE``, line by line.
"""

from __future__ import annotations

import sqlite3
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from stompgate.cli.main import main
from stompgate.config import load
from tests.pages import PAGES, ROOT, all_blocks, blocks, without_blocks

COMMANDS = {"sh", "mysql", "text"}
NO_COMMANDS = {"mermaid", "json", "python", "js", "html"}
RUN_IN = {
    "docs/quickstart.md": "tests/house/test_quickstart.py",
    "docs/operations/install.md": "tests/deploy/test_pages.py",
    "docs/operations/upgrade.md": "tests/deploy/test_pages.py",
    "docs/operations/backup.md": "tests/deploy/test_pages.py",
    "docs/operations/operator.md": "tests/deploy/test_pages.py",
    "docs/operations/cluster.md": "tests/stores/test_mysql_login.py",
}
"""Where the blocks of a page that are commands are run."""

SERVICES = "tests/services/test_services.py"
ELSEWHERE = {
    "make run": "tests/house/test_quickstart.py::test_the_quick_start_is_true_from_make_run_to_its_end",
    "make cluster": f"{SERVICES}::test_make_cluster_serves_until_ctrl_c_and_leaves_nothing_behind",
    "make services": f"{SERVICES}::test_make_services_starts_once_keeps_the_addresses_and_ends_what_it_started",
    "make dist": "tests/house/test_dist.py::test_it_serves_from_an_environment_that_was_empty",
    "stompgate serve": "tests/house/test_cli.py::test_serve_hands_the_settings_to_the_daemon_and_exits_as_it_says",
    "stompgate check-config": "tests/house/test_cli.py::test_check_config_prints_what_is_in_force_without_secrets",
    "stompgate sessions --url": "tests/daemon/test_operator.py::test_the_token_opens_the_same_by_http",
    "curl --unix-socket": "tests/daemon/test_operator.py::test_the_socket_has_the_operators_paths_and_the_servers_state",
    "curl -H": "tests/http/test_operator.py::test_whoever_shows_it_comes_in",
    "python -m tests.house.": "tests/house/test_blocks.py::test_a_page_that_is_made_is_in_step_with_what_it_is_made_of",
    "docker compose": "tests/house/test_compose.py looks at the file; to run it takes a container engine",
    "cd examples/javascript": "tests/examples/test_examples.py::test_in_a_browser_nothing_is_missed_over_a_crash",
    "make test": "it is what runs this",
    "make lint": "make test begins with it",
    "make coverage": "it runs these tests",
    "sh tests/set-up.sh mysql": "it takes 50 MB of a Debian that changes daily; `make proof` does",
    "make lock": "it asks the package index for what is new",
    ".venv/bin/python -m pytest": "it is what runs this",
    "git clone": "a clone is what this runs in",
    "jq ": "it asks a log of days",
    "journalctl ": "the test's machine has no journal of its own",
    "apt-get install": "the test's machine is no Debian of its own",
}
"""Commands that are not run from the page: the test that runs them otherwise, or why none can."""

MADE = [line.split()[2:5:2] for line in "".join(blocks("CONTRIBUTING.md", "console")).splitlines() if "-m tests.house." in line]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_is_of_a_kind_that_a_test_looks_at(page: Path) -> None:
    kinds = {kind for kind, _ in all_blocks(page)}
    assert kinds <= {*COMMANDS, "console", "toml", "env", "sql", *NO_COMMANDS}
    assert "\n\n    " not in without_blocks(page), "a block without a fence says nothing of its kind"
    if kinds & COMMANDS:
        name = str(page.relative_to(ROOT))
        assert name in RUN_IN, "RUN_IN must say which test runs the commands of this page"
        assert name in (ROOT / RUN_IN[name]).read_text()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_command_that_is_not_run_from_the_page_is_run_otherwise_or_cannot_be(page: Path) -> None:
    lines = [line for kind, text in all_blocks(page) if kind == "console" for line in text.splitlines()]
    assert [line for line in lines if not line.startswith(tuple(ELSEWHERE))] == []


def test_the_tests_that_run_them_otherwise_exist() -> None:
    named = [reason.split("::") for reason in ELSEWHERE.values() if "::" in reason]
    assert len(named) > 5
    assert [test for file, test in named if f"def {test}(" not in (ROOT / file).read_text()] == []


@pytest.mark.parametrize(("module", "file"), MADE)
def test_a_page_that_is_made_is_in_step_with_what_it_is_made_of(module: str, file: str) -> None:
    assert (ROOT / file).read_text() == import_module(module).page(), f"run: python -m {module} > {file}"


def test_the_pages_that_are_made_are_found() -> None:
    assert {file for _, file in MADE} >= {
        "config/stompgate.toml",
        "docs/settings.md",
        "docs/errors.md",
        "deploy/man/stompgate.1",
    }


@pytest.mark.parametrize("name", NAMES)
def test_settings_on_a_page_are_taken(name: str, tmp_path: Path) -> None:
    for text in blocks(name, "toml"):
        assert tomllib.loads(text)
        (tmp_path / "settings.toml").write_text(text)
        load(file=tmp_path / "settings.toml", environment={}, options={})
    for text in blocks(name, "env"):
        load(file=None, environment=dict(line.split("=", 1) for line in text.splitlines()), options={})


def test_the_sql_on_the_pages_is_taken_by_the_tables(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path / 'chat.db'}"
    assert CliRunner().invoke(main, ["new-epoch", "--store", store]).exit_code == 0
    statements = [text for name in NAMES for text in blocks(name, "sql")]
    assert statements
    tables = sqlite3.connect(tmp_path / "chat.db")
    for statement in statements:
        tables.execute(statement)
    tables.close()
