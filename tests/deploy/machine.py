"""A machine of the test's own: a folder for its root, the bundle of ``make dist`` in it, and what Debian would bring."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stompgate import __version__
from tests.daemon_process import wait_until
from tests.services import Service
from tests.services.kept import kept_port
from tests.services.nginx import TEMPORARY, Nginx

from .dist import ROOT
from .systemctl import Services

DOMAIN = "localhost"
DEBIAN_NGINX = """\
include /etc/nginx/modules-enabled/*.conf;
events {
\tworker_connections 768;
}
http {
\tinclude /etc/nginx/conf.d/*.conf;
}
"""
"""What matters of the file as Debian and Ubuntu have it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine. ``ports`` are those of its servers; ``bundle`` is where the bundle was unpacked."""

    root: Path
    bundle: Path
    ports: tuple[str, ...]
    said: list[str] = field(default_factory=list)

    @property
    def services(self) -> Services:
        """What systemd does here."""
        return Services(self.root)

    def write(self, path: str, text: str) -> Path:
        """Make a file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as the machine's root would."""
        left_out = ("STOMPGATE_", "http_proxy", "HTTP_PROXY")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        environment |= {
            "PATH": f"{self.root / 'programs'}:{environment['PATH']}",
            "MACHINE_ROOT": str(self.root),
            "PIP_PROGRAM": str(self.root / "programs" / "pip-of-the-test"),
            "PATIENCE_S": "10",
            "PYTHONPATH": "",
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        self.said.append(done.stdout + done.stderr)
        assert not check or done.returncode == 0, self.said[-1]
        return done

    def script(self, name: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a script of the bundle."""
        return self.run("sh", str(self.bundle / "ec2" / name), *words, check=check)

    def stand_in(self, name: str, *lines: str) -> None:
        """A program that the machine has."""
        self.write(f"programs/{name}", "\n".join(("#!/bin/sh", *lines)) + "\n").chmod(0o755)

    def log(self, port: str) -> str:
        """What a server has logged."""
        return (self.root / f"var/log/stompgate/{port}.log").read_text()


@contextmanager
def machine(folder: Path, dist: Path, servers: int) -> Iterator[Machine]:
    """A machine with nothing on it yet but the bundle. What still runs at the end is ended."""
    root, bundles = folder / "root", folder / "bundles"
    with tarfile.open(dist / f"stompgate-{__version__}-bundle.tar.gz") as archive:
        archive.extractall(bundles, filter="data")
    folder.mkdir(parents=True, exist_ok=True)
    ports = tuple(str(kept_port(folder, f"port-{number}")) for number in range(servers))
    made = Machine(root, bundles / f"stompgate-{__version__}", ports)
    run_here = f'cd "{ROOT}" && exec "{sys.executable}" -m'
    made.stand_in("systemctl", f'{run_here} tests.deploy.systemctl "{root}" "$@"')
    made.stand_in("pip-of-the-test", f'{run_here} tests.deploy.packages "{root}" "$@"')
    made.stand_in("certbot", f'echo "$@" >>"{root}/run/certbot.log"', "exit 1")
    made.write("etc/nginx/nginx.conf", DEBIAN_NGINX)
    try:
        yield made
    finally:
        for port in ports:
            made.services.kill(port)


@dataclass(frozen=True, slots=True)
class Site(Nginx):
    """nginx with the site that a machine has in ``/etc/nginx/conf.d``."""

    root: Path = Path("/")

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://{DOMAIN}:{self.port}"

    @property
    def clear_port(self) -> int:
        """Its port without TLS."""
        return kept_port(self.folder, "clear-port")

    def prepare(self) -> None:
        """Write a file around it, with ports that are free."""
        nginx = self.root / "etc/nginx"
        text = (nginx / "conf.d/stompgate.conf").read_text()
        for folder in ("/etc/stompgate/", "/var/www/"):
            text = text.replace(folder, f"{self.root}{folder}")
        text = text.replace("listen [::]:80 default_server;\n", "").replace("listen [::]:443 ssl default_server;\n", "")
        text = text.replace("listen 80 ", f"listen 127.0.0.1:{self.clear_port} ").replace(
            "listen 443 ", f"listen 127.0.0.1:{self.port} "
        )
        folders = "".join(f"    {name}_temp_path {self.folder / name};\n" for name in TEMPORARY)
        main = (nginx / "nginx.conf").read_text().replace("/etc/nginx/modules-enabled", f"{nginx}/modules-enabled")
        main = main.replace("\tinclude /etc/nginx/conf.d/*.conf;\n", f"{folders}    access_log off;\n{text}")
        (self.folder / "nginx.conf").write_text(main)


@contextmanager
def site(machine: Machine, folder: Path) -> Iterator[Service]:
    """A real nginx in front of a machine's servers."""
    nginx = Service(Site(folder, (), machine.root))
    nginx.start()
    try:
        yield nginx
    finally:
        nginx.kill()


def wait_for_line(machine: Machine, port: str, words: Sequence[str]) -> None:
    """Wait until a server has logged a line with all these words."""
    wait_until(lambda: any(all(word in line for word in words) for line in machine.log(port).splitlines()), f"{words}")
