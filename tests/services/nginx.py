"""nginx with the file that ``deploy`` gives it, but for addresses and folders, which are ours."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.requirements import find_program

from .kept import kept_port
from .service import NotInstalled

DEPLOYED = Path(__file__).parents[2] / "deploy" / "compose" / "nginx.conf"
_ANSWER_TIMEOUT_S = 1.0
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Nginx:
    """An nginx in front of servers on these ports of 127.0.0.1, in the order of the file."""

    name: ClassVar[str] = "nginx"
    folder: Path
    server_ports: tuple[int, ...]

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return kept_port(self.folder)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Write its file. A plain user may use neither port 80 nor the folders that nginx was built with."""
        ports = iter(self.server_ports)
        text = re.sub(r"server chat-server-\d+:8070", lambda _: f"server 127.0.0.1:{next(ports)}", DEPLOYED.read_text())
        text = text.replace("listen 80 ", f"listen 127.0.0.1:{self.port} ")
        folders = "".join(f"    {name}_temp_path {self.folder / name};\n" for name in TEMPORARY)
        (self.folder / "nginx.conf").write_text(text.replace("http {\n", f"http {{\n{folders}", 1))

    def command(self, *more: str) -> list[str]:
        """The server in the foreground, as one process."""
        nginx = find_program("nginx")
        if nginx is None:
            raise NotInstalled("nginx is not installed; on Debian the package nginx-light brings it")
        directives = f"daemon off; master_process off; pid {self.folder / 'pid'};"
        return [nginx, "-p", str(self.folder), "-e", "/dev/stderr", "-c", "nginx.conf", "-g", directives, *more]

    def is_ready(self, log: str) -> bool:
        """It accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), _ANSWER_TIMEOUT_S).close()
        except OSError:
            return False
        return True
