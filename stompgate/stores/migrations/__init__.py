"""The numbered SQL files that make a schema what the program expects, one folder per database.

A file is named ``NNNN_what.sql`` and opens with ``-- min_program: X.Y.Z``: the oldest program that may still work on a
schema with this change. A file that was released must never be edited.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

_HEAD = re.compile(r"-- min_program: (\d+(?:\.\d+)*)\n")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: ``number`` and ``name`` from its file name, ``min_program`` from its first line, and its text."""

    number: int
    name: str
    min_program: str
    sql: str


def migrations_for(database: str) -> tuple[Migration, ...]:
    """Return the migrations in the folder of ``database``, in the order of their numbers."""
    folder = resources.files(__package__) / database
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return tuple(parse_migration(file.name, file.read_text("utf-8")) for file in files)


def parse_migration(file_name: str, sql: str) -> Migration:
    """Read a migration from its file's name and text. Raises ``ValueError`` if either is not of the form above."""
    number, _, name = file_name.removesuffix(".sql").partition("_")
    head = _HEAD.match(sql)
    if not (number.isdecimal() and name and head):
        raise ValueError(f"{file_name} is not named NNNN_what.sql, or does not open with -- min_program: X.Y.Z")
    return Migration(int(number), name, head[1], sql)


def version_key(version: str) -> tuple[int, ...]:
    """Return the release numbers of a version for comparison; what follows them (``.dev1``, ``rc2``) is left out."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in release[0].split(".")) if release else ()
