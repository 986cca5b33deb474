"""Writes docs/settings.md from the models: ``python -m tests.house.settings_reference > docs/settings.md``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from stompgate.cli.main import main
from stompgate.config import PREFIX, KeyPath, load
from stompgate.reloading import LIVE
from stompgate.settings import SECRET_KEYS, URL_KEYS, Section, Settings

HEAD = f"""\
# Settings

Each key with what it takes, its default, and where it can be set. [config/stompgate.toml](../config/stompgate.toml) has the
same as a file to begin with; `stompgate init` writes it, `stompgate check-config` names every mistake and prints what is
in force. This page is made from `stompgate/settings.py`.

Later wins: the default, that of the profile, the settings file (`--config FILE` or `STOMPGATE_CONFIG`), credentials of the
service (systemd), the environment variable, the option. In a variable a list has commas, and yes and no are `true` and
`false`.

- **Legacy** stands beside a default where `--profile legacy` has another.
- **SIGHUP**: a key with *yes* takes effect when the process gets that signal (`systemctl reload`); all others wait for a
  restart, and the log names them. The files of TLS certificates are read again as well. The signal that comes when the terminal
  is closed on which a server was started ends it, as SIGTERM does.
- {", ".join(f"`{'.'.join(path)}`" for path in SECRET_KEYS)} may hold a secret, and so may come from a file:
  `store_file = "…"`, or `STOMPGATE_STORE_FILE`, whose first line is the value. A credential of the service is named like the
  key, with `_` for the dot.
- Some keys limit each other; `check-config` says so where they do.
"""

TABLE = "\n| Key | What it is | Takes | Default | Variable, option | SIGHUP |\n|---|---|---|---|---|---|\n"
TYPES = {int: "whole number", float: "number", bool: "`true` or `false`", str: "text"}
UNITS = {"per_s": "per second", "s": "seconds", "ms": "milliseconds", "min": "per minute"}
COUNTED = ("bytes", "chars", "rows", "messages", "records", "frames", "sessions", "days")


def page() -> str:
    """The whole page."""
    fields = Settings.model_fields
    sections = {name: field.default for name, field in fields.items() if isinstance(field.default, Section)}
    parts = [
        HEAD,
        "\n## At the top\n",
        TABLE,
        *_rows({(name,): field for name, field in fields.items() if name not in sections}),
    ]
    for name, section in sections.items():
        parts += [f"\n## [{name}]\n\n{section.__doc__}\n", TABLE]
        parts += _rows({(name, key): field for key, field in type(section).model_fields.items()})
    return "".join(parts)


def _rows(fields: dict[KeyPath, FieldInfo]) -> Iterator[str]:
    legacy = load(file=None, environment={}, options={("profile",): "legacy"})
    for path, field in fields.items():
        default = _code(field.default)
        if path != ("profile",) and (other := _value(legacy, path)) != field.default:
            default += f", legacy: {_code(other)}"
        name = "__".join(path)
        ways = [f"{PREFIX}{name.upper()}", *(option.opts[0] for option in main.commands["serve"].params if option.name == name)]
        live = "yes" if path in LIVE else ""
        cells = (
            f"`{path[-1]}`",
            field.description or "",
            _takes(path, field),
            default,
            ", ".join(f"`{way}`" for way in ways),
            live,
        )
        yield "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _value(settings: Any, path: KeyPath) -> Any:
    for key in path:
        settings = getattr(settings, key)
    return settings


def _takes(path: KeyPath, field: FieldInfo) -> str:
    kind: Any = field.annotation
    if kind is SecretStr:
        return "URL" if path[-1] in URL_KEYS else "text"
    if get_origin(kind) is Literal:
        return ", ".join(_code(choice) for choice in get_args(kind))
    if kind not in TYPES:
        return "list of texts"
    if kind in (int, float):
        return f"{_unit(path[-1]) or TYPES[kind]}, {_bounds(field)}"
    return TYPES[kind]


def _unit(key: str) -> str:
    """The unit in a key's name; "" where it is a plain count."""
    found = [unit for suffix, unit in UNITS.items() if key.endswith(f"_{suffix}")]
    return next(iter(found), next((word for word in COUNTED if key.split("_")[-1] == word), ""))


def _bounds(field: FieldInfo) -> str:
    words = {"gt": "above", "ge": "at least", "le": "at most"}
    found = {name: getattr(bound, name) for bound in field.metadata for name in words if hasattr(bound, name)}
    return ", ".join(f"{word} {found[name]:_}".replace("_", " ") for name, word in words.items() if name in found)


def _code(value: object) -> str:
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    return f"`{json.dumps(shown, ensure_ascii=False)}`"


if __name__ == "__main__":
    print(page(), end="")
