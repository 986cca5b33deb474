"""Stands in for ``systemctl`` on a machine without systemd: runs what the unit file says, by the protocol of ``Type=notify``.

As a program: ``systemctl.py ROOT COMMAND UNIT...``. Units that are not ours are only noted, in ``ROOT/run/systemctl.log``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.deploy.supervisor import DEADLINE_S, Supervisor
from tests.deploy.unit import Unit

_POLL_S = 0.02


class Services:
    """The instances of our unit on the machine whose root is ``root``. They outlive this object."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._run = root / "run"
        self._run.mkdir(exist_ok=True)

    def pid(self, instance: str) -> int | None:
        """The process of an instance, None where none runs."""
        file = self._run / f"{instance}.pid"
        if not file.exists():
            return None
        pid = int(file.read_text())
        state = Path(f"/proc/{pid}/stat")
        return pid if state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z" else None

    def start(self, instance: str) -> bool:
        """Start it; returns whether it became ready."""
        if self.pid(instance) is not None:
            return True
        unit = self.unit(instance)
        unit.state.mkdir(parents=True, exist_ok=True)
        unit.runtime.mkdir(parents=True, exist_ok=True)
        unit.runtime.chmod(int(unit.value("RuntimeDirectoryMode"), 8))
        credentials = self._hand_over(unit, instance)
        address = self._run / f"{instance}.notify"
        address.unlink(missing_ok=True)
        supervisor = Supervisor(str(address))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STOMPGATE_")}
        environment |= {**unit.environment, **supervisor.environment(), "CREDENTIALS_DIRECTORY": str(credentials)}
        environment["RUNTIME_DIRECTORY"] = str(unit.runtime)
        environment["STOMPGATE_CONFIG"] = str(unit.on_disk(environment["STOMPGATE_CONFIG"]))
        with self._log_file(unit).open("ab") as log:
            process = subprocess.Popen(
                unit.command, cwd=unit.state, env=environment, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        (self._run / f"{instance}.pid").write_text(str(process.pid))
        try:
            return self._becomes_ready(process, supervisor)
        finally:
            supervisor.close()

    def stop(self, instance: str) -> bool:
        """End it as the unit says; returns whether it did within its time."""
        pid = self.pid(instance)
        if pid is None:
            return True
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + self.unit(instance).seconds("TimeoutStopSec")
        while self.pid(instance) is not None and time.monotonic() < end:
            time.sleep(_POLL_S)
        return self.pid(instance) is None

    def kill(self, instance: str) -> None:
        """As a crash would."""
        pid = self.pid(instance)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            while self.pid(instance) is not None:
                time.sleep(_POLL_S)

    def restart(self, instance: str) -> bool:
        """End it, start it."""
        return self.stop(instance) and self.start(instance)

    def reload(self, instance: str) -> bool:
        """As ``ExecReload`` says."""
        pid = self.pid(instance)
        if pid is not None:
            os.kill(pid, signal.SIGHUP)
        return pid is not None

    def note(self, words: list[str]) -> None:
        """Keep what was asked for."""
        with (self._run / "systemctl.log").open("a") as log:
            log.write(" ".join(words) + "\n")

    def unit(self, instance: str) -> Unit:
        """The unit of an instance with its drop-ins."""
        units = self._root / "etc" / "systemd" / "system"
        files = [units / "stompgate@.service", *sorted((units / "stompgate@.service.d").glob("*.conf"))]
        return Unit("\n".join(file.read_text() for file in files if file.exists()), instance, self._root)

    def _becomes_ready(self, process: subprocess.Popen[bytes], supervisor: Supervisor) -> bool:
        end = time.monotonic() + DEADLINE_S
        while process.poll() is None and time.monotonic() < end:
            try:
                if "READY" in supervisor.next(0.1):
                    return True
            except TimeoutError:
                continue
        return False

    def _hand_over(self, unit: Unit, instance: str) -> Path:
        folder = self._run / f"{instance}.credentials"
        folder.mkdir(exist_ok=True)
        for name, file in unit.credentials.items():
            if file.exists():
                (folder / name).write_bytes(file.read_bytes())
        return folder

    def _log_file(self, unit: Unit) -> Path:
        named = [value.removeprefix("append:") for value in unit.values("StandardError")]
        file = unit.on_disk(named[-1]) if named else self._run / f"{unit.instance}.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        return file


def main(words: list[str]) -> int:
    """Do what systemctl would; returns its exit code."""
    services = Services(Path(words[0]))
    command = words[1]
    services.note(words[1:])
    instances = [found[1] for word in words[2:] if (found := re.fullmatch(r"stompgate@(.+?)(?:\.service)?", word))]
    if command == "kill":
        for instance in instances:
            services.kill(instance)
        return 0
    actions = {"start": services.start, "stop": services.stop, "restart": services.restart, "reload": services.reload}
    if command == "is-active":
        return 0 if all(services.pid(instance) for instance in instances) else 3
    action = actions.get(command)
    return 0 if action is None or all(action(instance) for instance in instances) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
