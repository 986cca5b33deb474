"""A test whose needs are not met is left out by name, and never silently where every test has to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.requirements import require_node_package, require_program


def test_what_is_there_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "second-name"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert require_program("first-name", "second-name") == str(program)


def test_what_is_missing_is_named_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program or neither-this is not in PATH"):
        require_program("no-such-program", "neither-this")


def test_where_ci_is_set_a_missing_program_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is not in PATH"):
        require_program("no-such-program")


def test_a_missing_npm_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="the npm package no-such-package is not installed"):
        require_node_package("no-such-package")
    monkeypatch.setattr("tests.requirements.NODE_FOLDER", tmp_path)
    (tmp_path / "node_modules" / "@scope" / "package").mkdir(parents=True)
    assert require_node_package("@scope/package") == tmp_path
