"""MariaDB with small buffers and the durability of a real one, told to be as strict about SQL as MySQL 8."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pymysql

from tests.requirements import find_program

from .kept import kept_port, kept_secret
from .service import NotInstalled, NotStarted

USER = "stompgate"
DATABASE = "stompgate"
# As MySQL 8 has it by default. MariaDB's own default lets pass what MySQL refuses.
_SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)
_CONNECT_TIMEOUT_S = 2
_INSTALL_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class MariaDB:
    """A MariaDB in a folder. Its user ``stompgate`` may do everything in databases whose name begins with ``stompgate``."""

    name: ClassVar[str] = "MariaDB"
    folder: Path

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

    def drop_database(self, database: str) -> None:
        """Drop a database, if it is there."""
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{database}`")

    def prepare(self) -> None:
        """Make the data folder and the file of statements that it runs at each start."""
        _program("mariadbd")
        self._tmp.mkdir(exist_ok=True)
        if self._run_as() == "mysql":
            shutil.chown(self._tmp, "mysql")
        if not self._data.exists():
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
            shutil.chown(self._statements, self._run_as())

    def command(self) -> list[str]:
        """The server in the foreground, logging to standard error."""
        return [
            _program("mariadbd"),
            *self._common_options(),
            "--socket=socket",  # from the data folder on: a whole path may be too long for a socket
            "--pid-file=pid",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--init-file={self._statements}",
            f"--sql-mode={_SQL_MODE}",
            "--character-set-server=utf8mb4",
            "--max-connections=200",
        ]

    def is_ready(self, log: str) -> bool:
        """It answers a statement of its user."""
        try:
            with self._connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except pymysql.err.OperationalError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _tmp(self) -> Path:
        """A place of its own for temporary tables: a MariaDB that starts clears away what it finds there, others' included."""
        return self.folder / "tmp"

    @property
    def _statements(self) -> Path:
        return self._data / "start.sql"

    def _connect(self) -> pymysql.Connection[pymysql.cursors.Cursor]:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=kept_secret(self.folder),
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=_CONNECT_TIMEOUT_S,
        )

    def _common_options(self) -> list[str]:
        return [
            "--no-defaults",
            f"--datadir={self._data}",
            f"--tmpdir={self._tmp}",
            f"--user={self._run_as()}",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--innodb-flush-log-at-trx-commit=1",
            "--aria-pagecache-buffer-size=4M",
            "--key-buffer-size=1M",
            "--performance-schema=OFF",
        ]

    def _install(self) -> None:
        """Make the data folder under another name first, so that one broken off is not taken for whole."""
        raw = self.folder / "data.new"
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir()
        if self._run_as() == "mysql":
            shutil.chown(raw, "mysql")
        options = [option.replace(str(self._data), str(raw)) for option in self._common_options()]
        made = subprocess.run(
            [_program("mariadb-install-db"), *options, "--skip-test-db"],
            capture_output=True,
            text=True,
            timeout=_INSTALL_DEADLINE_S,
            check=False,
        )
        if made.returncode != 0:
            raise NotStarted(f"mariadb-install-db ended with {made.returncode}:\n{made.stdout}{made.stderr}")
        raw.rename(self._data)

    def _run_as(self) -> str:
        """Root runs it as the user of Debian's package, unless that user may not reach the folder; else we are who we are."""
        me = pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() != 0 or not _is_user("mysql"):
            return me
        reachable = all(folder.stat().st_mode & stat.S_IXOTH for folder in [self.folder, *self.folder.resolve().parents])
        return "mysql" if reachable else me


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _program(name: str) -> str:
    found = find_program(name)
    if found is None:
        raise NotInstalled(f"{name} is not installed; on Debian the package mariadb-server brings it")
    return found
