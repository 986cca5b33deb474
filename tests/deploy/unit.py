"""What a unit file of ours says, for one instance, on a machine whose root is a folder of the test."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "stompgate@.service"
HOST = "chat-host"
_UNITS_S = {"": 1.0, "s": 1.0, "min": 60.0}


@dataclass(frozen=True, slots=True)
class Unit:
    """``text`` is the file; ``instance`` what stands behind the ``@``; ``root`` what is put before its folders."""

    text: str
    instance: str = "8070"
    root: Path = Path("/")

    def values(self, key: str) -> list[str]:
        """Every value of a key, in order, with the specifiers filled in. An empty one takes back those before."""
        found: list[str] = []
        for value in re.findall(rf"(?m)^{key}=(.*)$", self.text):
            found = [*found, self._filled(value)] if value else []
        return found

    def value(self, key: str) -> str:
        """The value of a key that stands there once."""
        (value,) = self.values(key)
        return value

    def seconds(self, key: str) -> float:
        """A span of time."""
        number, unit = re.fullmatch(r"(\d+)(s|min|)", self.value(key)).groups()  # type: ignore[union-attr]
        return int(number) * _UNITS_S[unit]

    @property
    def environment(self) -> dict[str, str]:
        """What the service finds in its environment: the assignments, then the files."""
        variables = [word for value in self.values("Environment") for word in shlex.split(value)]
        for named in self.values("EnvironmentFile"):
            file = self.on_disk(named.removeprefix("-"))
            if not named.startswith("-") or file.exists():
                variables += [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        return dict(word.split("=", 1) for word in variables)

    @property
    def command(self) -> list[str]:
        """What is run."""
        program, *words = shlex.split(self.value("ExecStart"))
        return [str(self.on_disk(program)), *words]

    @property
    def state(self) -> Path:
        """The one folder that it may write to."""
        return self.on_disk("/var/lib/" + self.value("StateDirectory"))

    @property
    def runtime(self) -> Path:
        """The folder that it has while it runs."""
        return self.on_disk("/run/" + self.value("RuntimeDirectory"))

    @property
    def credentials(self) -> dict[str, Path]:
        """The files that are handed over, by name; relative ones lie in the credential store."""
        pairs = (value.split(":", 1) for value in self.values("LoadCredential"))
        return {name: self.on_disk(str(Path("/etc/credstore") / path)) for name, path in pairs}

    def on_disk(self, path: str) -> Path:
        """Where a path of that machine is here."""
        return self.root / path.lstrip("/")

    def _filled(self, value: str) -> str:
        for specifier, meant in (("%i", self.instance), ("%l", HOST), ("%S", "/var/lib")):
            value = value.replace(specifier, meant)
        assert "%" not in value, value
        return value
