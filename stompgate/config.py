"""The settings of a start: profile, file, environment and command line, one laid over the other, and every mistake named.

Later wins: the models' defaults, the profile's file, the settings file, credentials, ``STOMPGATE_…`` variables, options. This
module must never print or raise a secret: a wrong value is quoted only where its key can hold none.
"""

from __future__ import annotations

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from .backends import Kind, objection
from .settings import SECRET_KEYS, Settings

__all__ = ["CONFIG_VARIABLE", "KeyPath", "Settings", "SettingsError", "load", "shipped_config"]

CONFIG_VARIABLE = "STOMPGATE_CONFIG"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
PREFIX = "STOMPGATE_"
FILE_SUFFIX = "_file"
FILE_LIMIT_BYTES = 1048576

KeyPath = tuple[str, ...]
Tree = dict[str, Any]


class SettingsError(Exception):
    """The settings cannot be used. ``sentences``: every mistake, each with its source, its key and what was expected."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = list(sentences)


class Layer(ABC):
    """Values from one source, as a tree, and how that source calls a key."""

    def __init__(self, values: Tree) -> None:
        self.values = values

    @abstractmethod
    def name_of(self, path: KeyPath) -> str:
        """Return how the operator wrote the key."""

    def has(self, path: KeyPath) -> bool:
        """Whether this layer says something about the key, or something that is no section about a section it lies in."""
        return self._at(path) is not None

    def _at(self, path: KeyPath) -> Any:
        tree: Any = self.values
        for key in path:
            if not isinstance(tree, dict):
                break
            tree = tree.get(key)
        return tree


class FileLayer(Layer):
    """A TOML file."""

    def __init__(self, values: Tree, file: Path) -> None:
        super().__init__(values)
        self.file = file

    def name_of(self, path: KeyPath) -> str:
        return f"{self.file}: {'.'.join(path)}"


class EnvironmentLayer(Layer):
    """``STOMPGATE_KEY`` and ``STOMPGATE_SECTION__KEY``."""

    def name_of(self, path: KeyPath) -> str:
        while isinstance(below := self._at(path), dict) and below:
            path = (*path, next(iter(below)))
        return f"environment variable {PREFIX}{'__'.join(path).upper()}"


class CredentialLayer(Layer):
    """Files that systemd or another supervisor hands over, each named after the secret in it (systemd.exec(5))."""

    def name_of(self, path: KeyPath) -> str:
        return f"credential {credential_name(path).removesuffix(FILE_SUFFIX)}"


class OptionLayer(Layer):
    """Options of the command line."""

    def name_of(self, path: KeyPath) -> str:
        return f"option {option_name(path)}"


def credential_name(path: KeyPath) -> str:
    """The file of a secret among those that a supervisor hands over."""
    return "_".join(path)


def option_name(path: KeyPath) -> str:
    """The option of a key: the key alone, but for the second port, whose options begin with its section."""
    words = path if path[0] == "tcp" else path[-1:]
    return "--" + "-".join(words).replace("_", "-")


def load(*, file: Path | None, environment: Mapping[str, str], options: Mapping[KeyPath, str]) -> Settings:
    """Return the settings of a start. ``options`` are texts by key path: ``{("listen", "port"): "0"}``.

    Raises ``SettingsError`` with all mistakes at once.
    """
    mistakes: list[str] = []
    variables = {
        tuple(name[len(PREFIX) :].lower().split("__")): text
        for name, text in environment.items()
        if name.startswith(PREFIX) and name != CONFIG_VARIABLE
    }
    layers: list[Layer] = [
        OptionLayer(_tree(options)),
        EnvironmentLayer(_tree(variables)),
        CredentialLayer(_credentials(environment.get(CREDENTIALS_VARIABLE, ""))),
    ]
    if file is not None:
        layers.append(FileLayer(_read_toml(file, mistakes), file))
    profile = _first(layers, "profile", "standard")
    profile_file = shipped_config() / f"{profile}.toml"
    if profile == "legacy":
        layers.append(FileLayer(_read_toml(profile_file, mistakes), profile_file))
    for layer in layers:
        mistakes += _take_secrets_from_files(layer)
    merged: Tree = {}
    for layer in layers:
        merged = _laid_under(merged, layer.values)
    mistakes += _unknown_backends(merged, layers)
    mistakes += _unreadable_files(merged, layers)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        mistakes += [_sentence(layers, detail) for detail in error.errors(include_url=False)]
        raise SettingsError(mistakes) from None
    if mistakes:
        raise SettingsError(mistakes)
    return settings


def shipped_config() -> Path:
    """Return the folder of the settings files that come with the program, installed or in a checkout."""
    installed = Path(__file__).parent / "shipped_config"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "config"


def _laid_under(upper: Tree, lower: Tree) -> Tree:
    """Return both trees as one; where both say something, ``upper`` holds."""
    merged = {**lower, **upper}
    for key in lower.keys() & upper.keys():
        if isinstance(lower[key], dict) and isinstance(upper[key], dict):
            merged[key] = _laid_under(upper[key], lower[key])
    return merged


def _first(layers: Sequence[Layer], key: str, default: str) -> object:
    return next((layer.values[key] for layer in layers if key in layer.values), default)


def _tree(texts: Mapping[KeyPath, str]) -> Tree:
    tree: Tree = {}
    # Sorted: a text in the place of a section comes before the section's keys, stays, and is refused in the end.
    for path, text in sorted(texts.items()):
        branch: Any = tree
        for key in path[:-1]:
            branch = branch.setdefault(key, {})
            if not isinstance(branch, dict):
                break
        else:
            branch[path[-1]] = _from_text(path, text)
    return tree


def _from_text(path: KeyPath, text: str) -> object:
    """Return what the text means for the type of its key; the text itself where it means nothing, to be refused later."""
    field = _field(path)
    kind = None if field is None else field.annotation
    try:
        if kind is bool:
            return {"true": True, "false": False}.get(text.lower(), text)
        if kind is int or kind is float:
            return kind(text)
    except ValueError:
        return text
    if get_origin(kind) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _field(path: KeyPath) -> FieldInfo | None:
    model: type[BaseModel] = Settings
    field: FieldInfo | None = None
    for key in path:
        field = model.model_fields.get(key)
        if field is None:
            return None
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            model = field.annotation
    return field


def _read_toml(file: Path, mistakes: list[str]) -> Tree:
    try:
        return tomllib.loads(_read(file))
    except OSError as error:
        mistakes.append(f"{file}: cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        mistakes.append(f"{file}: expected text in UTF-8")
    except tomllib.TOMLDecodeError as error:
        mistakes.append(f"{file}: not valid TOML: {error}")
    return {}


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(FILE_LIMIT_BYTES).decode()


def _take_secrets_from_files(layer: Layer) -> Iterator[str]:
    """Put the first line of the named file in the place of each ``…_file`` key."""
    for *sections, key in SECRET_KEYS:
        values = layer.values
        for section in sections:
            values = values.get(section, {})
        file_key = key + FILE_SUFFIX
        if not isinstance(values, dict) or file_key not in values:
            continue
        name = layer.name_of((*sections, file_key))
        named = values.pop(file_key)
        if key in values:
            yield f"{name}: expected either this or {key}, not both"
            continue
        try:
            values[key] = _read(Path(named)).partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError, TypeError, ValueError):
            yield f"{name}: expected the name of a file that can be read, with the value of {key} in it"


def _credentials(folder: str) -> Tree:
    """The secrets that lie in the folder, as keys that name their files."""
    if not folder:
        return {}
    files = {path: Path(folder) / credential_name(path) for path in SECRET_KEYS}
    return _tree({(*path[:-1], path[-1] + FILE_SUFFIX): str(file) for path, file in files.items() if file.is_file()})


def _unknown_backends(merged: Tree, layers: Sequence[Layer]) -> Iterator[str]:
    for kind in Kind:
        url = merged.get(kind.key)
        if isinstance(url, str) and ":" in url and (expected := objection(kind, url)):
            yield f"{_source(layers, (kind.key,))}: expected {expected}"


def _unreadable_files(merged: Tree, layers: Sequence[Layer]) -> Iterator[str]:
    for section, key in product(("listen", "tcp"), ("tls_certificate", "tls_key")):
        values = merged.get(section)
        named = values.get(key) if isinstance(values, dict) else None
        try:
            if named and isinstance(named, str):
                Path(named).open("rb").close()
        except (OSError, ValueError) as error:
            yield f"{_source(layers, (section, key))}: expected a file that can be read: {error}"


def _source(layers: Sequence[Layer], path: KeyPath) -> str:
    layer = next((layer for layer in layers if layer.has(path)), None)
    return ".".join(path) if layer is None else layer.name_of(path)


def _sentence(layers: Sequence[Layer], detail: ErrorDetails) -> str:
    path = tuple(str(key) for key in detail["loc"] if isinstance(key, str))
    if key := detail.get("ctx", {}).get("key"):
        path = (*path, *str(key).split("."))
    if detail["type"] == "extra_forbidden":
        return f"{_source(layers, path)}: there is no such key{_suggestion(path)}"
    text = f"{_source(layers, path)}: expected {_expected(detail)}"
    quotable = not _may_hold_a_secret(path) and isinstance(detail["input"], str | int | float | bool)
    return f"{text}, not {_clipped(detail['input'])}" if quotable and not key else text


def _may_hold_a_secret(path: KeyPath) -> bool:
    """Whether a secret belongs there, or below: who writes a text for a section may have meant the secret in it."""
    return any(key[: len(path)] == path[: len(key)] for key in SECRET_KEYS)


def _expected(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "expected":
            return str(context["expected"])
        case "int_type" | "int_from_float" | "int_parsing":
            return "a whole number"
        case "float_type" | "float_parsing" | "finite_number":
            return "a number"
        case "bool_type":
            return "true or false"
        case "string_type":
            return "a text"
        case "tuple_type":
            return "a list of texts"
        case "too_short":
            return f"at least {context['min_length']} of them"
        case "literal_error":
            return str(context["expected"])
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "greater_than":
            return f"more than {context['gt']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "model_type" | "model_attributes_type":
            return "a section with keys of its own"
        case _:
            return detail["msg"]


def _suggestion(path: KeyPath) -> str:
    section = _field(path[:-1]) if path[:-1] else None
    model = Settings if section is None else section.annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ""
    close = get_close_matches(path[-1], model.model_fields, n=1)
    return f"; is {close[0]} meant?" if close else ""


def _clipped(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
