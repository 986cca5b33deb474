"""Writes ``config/stompgate.toml`` from the models: ``python -m tests.house.settings_page > config/stompgate.toml``."""

from __future__ import annotations

import json
import sys
from textwrap import wrap

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stompgate.settings import SECRET_KEYS, Section, Settings

HEAD = """\
Every setting of stompgate with its default. Take the sign # away from a line to set it.

Later wins: the defaults here, the profile's file (legacy.toml), this file (stompgate serve --config FILE, or
STOMPGATE_CONFIG), environment variables (STOMPGATE_SERVER_ID for server_id, STOMPGATE_LISTEN__PORT for port in
[listen]; lists with commas), command-line options. stompgate check-config shows what is in force.

A key ends in its unit: _s seconds, _ms milliseconds, _bytes, _chars characters, _rows, _messages; without one it is a
plain count."""

SECRETS = f"""\
What may hold a secret can come from a file of its own instead:
{", ".join(f"{'.'.join(path)}_file" for path in SECRET_KEYS)} name a file whose first line is the value."""


def page() -> str:
    """Return the whole file."""
    fields = Settings.model_fields
    lines = [*_comment(HEAD), ""]
    for name, field in fields.items():
        if not isinstance(field.default, Section):
            lines += _key(name, field)
    lines += [*_comment(SECRETS), ""]
    for name, field in fields.items():
        if isinstance(field.default, Section):
            lines += [*_comment(type(field.default).__doc__ or ""), f"[{name}]", ""]
            for key, inner in type(field.default).model_fields.items():
                lines += _key(key, inner)
    return "\n".join(lines).rstrip() + "\n"


def _key(name: str, field: FieldInfo) -> list[str]:
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return [*(f"# {line}" for line in wrap(field.description or "", 118)), f"# {name} = {json.dumps(default)}", ""]


def _comment(text: str) -> list[str]:
    return [f"# {line}".rstrip() for line in text.splitlines()]


if __name__ == "__main__":
    sys.stdout.write(page())
