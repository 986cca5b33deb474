"""The files of a deployment keep the rules of those who read them: shells, cloud-init, GitHub, CloudWatch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stompgate.config import load
from tests.requirements import left_out, require_program

from .dist import ROOT
from .unit import DEPLOY

SCRIPTS = sorted([*(DEPLOY / "ec2").glob("*.sh"), ROOT / "tests" / "set-up.sh"])
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
USER_DATA = DEPLOY / "ec2" / "user-data.yaml"


def names(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("file", paths, ids=lambda path: path.name)


def check(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)


def in_schema(file: Path) -> subprocess.CompletedProcess[str]:
    return check(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file))


@names(SCRIPTS)
def test_a_script_is_one_to_the_shell_and_to_shellcheck(file: Path) -> None:
    parsed = check("sh", "-n", str(file))
    assert (parsed.returncode, parsed.stderr) == (0, "")
    checked = check(require_program("shellcheck"), "--shell=sh", str(file))
    assert checked.returncode == 0, checked.stdout


def test_shellcheck_would_find_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.sh"
    wrong.write_text("#!/bin/sh\nrm -r $1/*\n")
    assert check(require_program("shellcheck"), "--shell=sh", str(wrong)).returncode == 1


# GitHub


@names(WORKFLOWS)
def test_a_workflow_keeps_the_schema(file: Path) -> None:
    checked = in_schema(file)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_would_find_a_wrong_key(tmp_path: Path) -> None:
    wrong = tmp_path / "ci.yml"
    wrong.write_text((ROOT / ".github/workflows/ci.yml").read_text().replace("runs-on:", "run-on:", 1))
    assert in_schema(wrong).returncode == 1


def steps_of(file: Path) -> list[dict[str, Any]]:
    return [step for job in yaml.safe_load(file.read_text())["jobs"].values() for step in job.get("steps", [])]


@names(WORKFLOWS)
def test_what_a_workflow_runs_is_shell_that_takes_nothing_from_outside_but_by_variables(file: Path) -> None:
    runs = [step["run"] for step in steps_of(file) if "run" in step]
    assert runs
    for run in runs:
        assert "${{" not in run, "a value in a command's text is a command of whoever sets the value"
        checked = check(require_program("shellcheck"), "--shell=bash", "--exclude=SC2029", "-", given=run)
        assert checked.returncode == 0, checked.stdout


def test_every_job_of_make_that_a_workflow_asks_for_is_there() -> None:
    asked = {found for file in WORKFLOWS for found in re.findall(r"run: make ([a-z-]+)", file.read_text())}
    there = set(re.findall(r"(?m)^([a-z-]+):.*##", (ROOT / "Makefile").read_text()))
    assert {"lint", "test", "dist"} <= asked <= there


def test_the_deployment_runs_scripts_that_the_bundle_has() -> None:
    run = "\n".join(step.get("run", "") for step in steps_of(ROOT / ".github/workflows/deploy.yml"))
    scripts = re.findall(r"/ec2/(\w+\.sh)", run)
    assert scripts == ["install.sh", "switch.sh"]
    assert all((DEPLOY / "ec2" / script).exists() for script in scripts)


# cloud-init


def test_the_user_data_is_a_cloud_config_with_a_script_that_the_shell_takes() -> None:
    text = USER_DATA.read_text()
    assert text.startswith("#cloud-config\n")
    config = yaml.safe_load(text)
    ((*shell, script),) = config["runcmd"]
    assert shell == ["sh", "-euc"]
    assert check("sh", "-n", given=script).returncode == 0
    checked = check(require_program("shellcheck"), "--shell=sh", "--exclude=SC1091,SC2154", "-", given=f"set -eu\n{script}")
    assert checked.returncode == 0, checked.stdout
    (file,) = config["write_files"]
    used = set(re.findall(r"\$(\w+)", script + (DEPLOY / "ec2" / "set-up.sh").read_text())) & {
        "DOMAIN",
        "EMAIL",
        "PORTS",
        "BUNDLE",
        "BUNDLE_SHA256",
    }
    assert set(re.findall(r"(?m)^(\w+)=", file["content"])) == used


def test_the_user_data_keeps_the_schema_of_cloud_init(tmp_path: Path) -> None:
    schema = ROOT / "tests" / "deploy" / "cloud-init" / "schema.json"
    if not schema.exists():
        left_out("there is no schema of cloud-init, which tests/set-up.sh takes out of Debian's package")
    checked = check(sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(USER_DATA))
    assert checked.returncode == 0, checked.stdout
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(USER_DATA.read_text().replace("write_files:\n  - path", "write_files:\n  - paht"))
    found = check(sys.executable, "-m", "check_jsonschema", "--schemafile", str(schema), str(wrong))
    assert found.returncode == 1


# Settings and logs


def test_the_settings_of_the_machine_let_in_whom_nginx_lets_in() -> None:
    settings = load(file=DEPLOY / "ec2" / "stompgate.toml", environment={}, options={})
    assert settings.listen.host == "127.0.0.1"
    site = (DEPLOY / "ec2" / "nginx.conf").read_text()
    assert settings.listen.allowed_origins == tuple(f"https://{name}" for name in set(re.findall(r"server_name (\S+);", site)))


def test_the_agent_of_cloudwatch_reads_what_the_service_writes() -> None:
    agent = json.loads((DEPLOY / "ec2" / "cloudwatch-agent.json").read_text())
    (read,) = agent["logs"]["logs_collected"]["files"]["collect_list"]
    written = re.findall(r"(?m)^StandardError=append:(\S+)$", (DEPLOY / "ec2" / "log-file.conf").read_text())
    assert [path.replace("%i", "*") for path in written] == [read["file_path"]]
