"""MariaDB, told to be as strict about SQL as MySQL 8."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.requirements import find_program

from .database import Database
from .service import NotInstalled

# As MySQL 8 has it by default. MariaDB's own default lets pass what MySQL refuses.
_SQL_MODE = (
    "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


class MariaDB(Database):
    """A MariaDB in a folder."""

    __slots__ = ()
    name: ClassVar[str] = "MariaDB"

    def program(self) -> str:
        return _program("mariadbd")

    def administrator(self) -> str:
        return pwd.getpwuid(os.geteuid()).pw_name

    def options(self, data: Path) -> list[str]:
        return [
            *super().options(data),
            f"--sql-mode={_SQL_MODE}",
            "--innodb-log-file-size=16M",
            "--aria-pagecache-buffer-size=4M",
        ]

    def install(self, data: Path) -> Sequence[str]:
        return [_program("mariadb-install-db"), *self.options(data), "--skip-test-db"]

    def run_as(self) -> str:
        """Root runs it as the user of Debian's package, unless that user may not reach the folder; else we are who we are."""
        me = super().run_as()
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
