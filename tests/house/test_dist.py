"""``make dist``: what it makes installs into an empty environment, and is a whole server there."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from stompgate import __version__
from tests.daemon_process import Daemon
from tests.deploy.dist import ROOT, environment_with
from tests.deploy.packages import wheel_in
from tests.wire_client import connected, make_room


def built_from_sdist(dist: Path, folder: Path) -> Path:
    """The wheel that somebody else makes of the sdist."""
    with tarfile.open(dist / f"stompgate-{__version__}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "wheels")]
    subprocess.run(command, cwd=folder / f"stompgate-{__version__}", check=True, capture_output=True, timeout=120)
    return wheel_in(folder / "wheels")


def file_of_the_package(python: Path) -> str:
    """Where an environment has it from. ``-P``: not from the folder that this is run in."""
    command = [str(python), "-P", "-c", "import stompgate; print(stompgate.__file__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("made_of", ["wheel", "sdist"])
async def test_it_serves_from_an_environment_that_was_empty(made_of: str, dist: Path, tmp_path: Path) -> None:
    wheel = wheel_in(dist) if made_of == "wheel" else built_from_sdist(dist, tmp_path / "sdist")
    program = environment_with(wheel, tmp_path / "environment") / "bin" / "stompgate"
    assert str(tmp_path) in file_of_the_package(program.with_name("python"))
    daemon = Daemon(tmp_path, program=[str(program)])
    daemon.start()
    try:
        room = await make_room(daemon.url)
        async with connected(daemon.ws_url, "buyer") as client, httpx.AsyncClient(base_url=daemon.url, trust_env=False) as http:
            await client.subscribe(f"/sub/chat/room/{room}")
            await client.send(f"/pub/room/{room}/message", '{"content":"from a wheel"}')
            assert "from a wheel" in (await client.expect("MESSAGE")).body.decode()
            named = re.findall(r'(?:src|href)="(?!data:)([^"#]+)"', (await http.get("/test/")).text)
            assert len(named) > 2
            for path in (*(urljoin("/test/", name) for name in named), "/docs", "/openapi.json"):
                assert (await http.get(path)).status_code == 200, path
        daemon.stop()
    finally:
        daemon.put_down()


def test_the_settings_file_that_is_shipped_is_the_one_of_the_checkout(dist: Path, tmp_path: Path) -> None:
    program = environment_with(wheel_in(dist), tmp_path / "environment") / "bin" / "stompgate"
    subprocess.run([str(program), "init", "settings.toml"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "settings.toml").read_text() == (ROOT / "config" / "stompgate.toml").read_text()
    legacy = [str(program), "check-config", "--profile", "legacy"]
    assert b"# ok" in subprocess.run(legacy, cwd=tmp_path, check=True, capture_output=True, timeout=60).stdout


def test_the_wheel_has_the_whole_program_and_nothing_else(dist: Path) -> None:
    with zipfile.ZipFile(wheel_in(dist)) as archive:
        shipped = {name for name in archive.namelist() if not name.startswith(f"stompgate-{__version__}.dist-info/")}
    shipped.remove(f"stompgate-{__version__}.data/data/share/man/man1/stompgate.1")
    tracked = subprocess.run(
        ["git", "ls-files", "stompgate"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(tracked) <= shipped
    assert all(name.startswith("stompgate/") and "__pycache__" not in name for name in shipped)


def test_the_checksums_are_those_of_the_files(dist: Path) -> None:
    split = (line.split("  ") for line in (dist / "SHA256SUMS").read_text().splitlines())
    lines = {name: digest for digest, name in split}
    assert lines == {file.name: sha256(file.read_bytes()).hexdigest() for file in dist.iterdir() if file.name != "SHA256SUMS"}
    assert len(lines) == 3
