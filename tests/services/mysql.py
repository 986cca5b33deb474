"""MySQL as it comes: its own defaults of SQL, with a binary log, behind the login that it has had since version 8."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .database import Database
from .service import NotInstalled

_UNPACKED = Path(__file__).parent / ".mysql" / "mysqld"


class MySQL(Database):
    """A MySQL in a folder. Its program is ``TEST_MYSQLD``, else what ``tests/set-up.sh mysql`` has unpacked here.

    PATH is not asked: MariaDB brings a program of that name.
    """

    __slots__ = ()
    name: ClassVar[str] = "MySQL"

    def program(self) -> str:
        program = os.environ.get("TEST_MYSQLD", str(_UNPACKED))
        if not os.access(program, os.X_OK):
            raise NotInstalled(f"MySQL is not in {program}; sh tests/set-up.sh mysql unpacks one")
        return program

    def administrator(self) -> str:
        return "root"

    def options(self, data: Path) -> list[str]:
        return [
            *super().options(data),
            "--mysqlx=OFF",
            "--secure-file-priv=NULL",
            "--auto-generate-certs=OFF",
            "--loose-innodb-redo-log-capacity=32M",  # loose: not every version knows it
        ]

    def install(self, data: Path) -> Sequence[str]:
        return [self.program(), *self.options(data), "--initialize-insecure"]
