"""A database server of either kind in a folder: its address, its user, databases in it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pymysql

from tests.deploy.certificates import Issued

from .kept import kept_port, kept_secret
from .service import NotStarted

USER = "stompgate"
DATABASE = "stompgate"
_CONNECT_TIMEOUT_S = 2
_INSTALL_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Database(ABC):
    """Small buffers and the durability of a real one. Its user may do everything in databases named ``stompgate…``.

    ``issued``: what it shows to those who ask for TLS, which it does not offer without.
    """

    name: ClassVar[str]
    folder: Path
    issued: Issued | None = None

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return kept_port(self.folder)

    @property
    def url(self) -> str:
        """The address of the database ``stompgate``, which is there from the start."""
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> str:
        """The address of one database."""
        return f"mysql://{USER}:{kept_secret(self.folder)}@127.0.0.1:{self.port}/{database}"

    def create_database(self, database: str) -> str:
        """Make a new, empty database, and return its address."""
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
        return self.database_url(database)

    def administer(self, statement: str) -> None:
        """Do what its user may not, as the one who runs the server."""
        login: dict[str, Any] = {"unix_socket": str(self.data / "socket"), "user": self.administrator()}
        with pymysql.connect(**login, read_timeout=_INSTALL_DEADLINE_S) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def prepare(self) -> None:
        """Make the data folder and the file of statements that it runs at each start."""
        self.program()
        if not self.data.exists():
            self._install()
        password = kept_secret(self.folder)
        self._statements.touch(mode=0o600)
        self._statements.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON `{USER}%`.* TO '{USER}'@'127.0.0.1';\n"
            f"GRANT PROCESS ON *.* TO '{USER}'@'127.0.0.1';\n"  # tests wait until a statement waits for a lock
            f"CREATE DATABASE IF NOT EXISTS `{DATABASE}` CHARACTER SET utf8mb4;\n"
        )
        if os.geteuid() == 0:
            shutil.chown(self._statements, self.run_as())

    def command(self) -> list[str]:
        """The server in the foreground, logging to standard error."""
        return [
            self.program(),
            *self.options(self.data),
            "--socket=socket",  # from the data folder on: a whole path may be too long for a socket
            "--pid-file=pid",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--init-file={self._statements}",
            "--character-set-server=utf8mb4",
            "--max-connections=200",
            "--max-allowed-packet=16M",  # as MariaDB has it by default; MySQL takes 64M
            *([f"--ssl-cert={self.issued.certificate}", f"--ssl-key={self.issued.key}"] if self.issued else []),
        ]

    def is_ready(self, log: str) -> bool:
        """It answers a statement of its user."""
        try:
            with self._connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True

    # What the kinds differ in

    @abstractmethod
    def program(self) -> str:
        """The server's program. Raises NotInstalled."""

    @abstractmethod
    def administrator(self) -> str:
        """Who may do everything there, by the socket and without a password."""

    def options(self, data: Path) -> list[str]:
        """The options that it is installed and started with."""
        return [
            "--no-defaults",
            f"--datadir={data}",
            f"--tmpdir={self._tmp()}",
            f"--user={self.run_as()}",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=1",
            "--key-buffer-size=1M",
            "--performance-schema=OFF",
        ]

    @abstractmethod
    def install(self, data: Path) -> Sequence[str]:
        """The command that fills an empty data folder."""

    def run_as(self) -> str:
        """The user of the system that it runs as."""
        return pwd.getpwuid(os.geteuid()).pw_name

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def _statements(self) -> Path:
        return self.data / "start.sql"

    def _tmp(self) -> Path:
        """A place of its own for temporary tables: a MariaDB that starts clears away what it finds there, others' included."""
        tmp = self.folder / "tmp"
        tmp.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(tmp, self.run_as())
        return tmp

    def _connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=kept_secret(self.folder),
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_CONNECT_TIMEOUT_S,
        )

    def _install(self) -> None:
        """Make the data folder under another name first, so that one broken off is not taken for whole."""
        raw = self.folder / "data.new"
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir()
        if os.geteuid() == 0:
            shutil.chown(raw, self.run_as())
        command = self.install(raw)
        made = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_DEADLINE_S, check=False)
        if made.returncode != 0:
            raise NotStarted(f"{command[0]} ended with {made.returncode}:\n{made.stdout}{made.stderr}")
        raw.rename(self.data)
