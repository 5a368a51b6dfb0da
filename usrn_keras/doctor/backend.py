"""Which backend training would use, and whether it and the others work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from usrn_keras.backend_choice import BACKENDS, reinstall
from usrn_keras.doctor.findings import CHANGE, NOTE, Finding
from usrn_keras.doctor.probe import Probe
from usrn_keras.errors import BackendError


@dataclass(frozen=True)
class BackendSection:
    """The backends.

    Args:
        chosen: Name of the one that training would use; may be unknown.
        source: Who says so.
        probes: What became of loading each.
    """

    chosen: str
    source: str
    probes: Mapping[str, Probe]
    title = "backend"

    @property
    def probe(self) -> Probe | None:
        """That of the chosen backend; None where Keras does not know it."""
        return self.probes.get(self.chosen)

    @property
    def works(self) -> bool:
        """Whether the chosen backend can be loaded and computes."""
        return self.probe is not None and self.probe.loads and not self.probe.error

    @property
    def on_accelerator(self) -> bool:
        """Whether it trains on a GPU or TPU."""
        return self.probe is not None and bool(self.probe.accelerators)

    def lines(self) -> list[str]:
        """The choice, then each backend."""
        choice = f"{self.chosen} ({self.source}); KERAS_BACKEND=NAME usrn ... takes another"
        return [choice, *(_line(probe) for probe in self.probes.values())]

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "chosen": self.chosen,
            "source": self.source,
            "works": self.works,
            "backends": {name: _json(probe) for name, probe in self.probes.items()},
        }

    def findings(self) -> list[Finding]:
        """What is wrong with the chosen one, which breaks training; then with the others."""
        others = [
            _broken_beside(probe)
            for name, probe in self.probes.items()
            if name != self.chosen and probe.error
        ]
        return [*self._chosen(), *others]

    def _chosen(self) -> list[Finding]:
        probe = self.probe
        if probe is None:
            allowed = ", ".join(BACKENDS)
            message = f"unknown Keras backend {self.chosen!r} (from {self.source}); allowed: {allowed}"
            return [Finding("backend_unknown", message, f"export KERAS_BACKEND={self._instead()}",
                            error=BackendError)]  # fmt: skip
        if not probe.installed:
            message = f"the Keras backend {self.chosen!r} (from {self.source}) is not installed"
            advice = BACKENDS[self.chosen].install
            return [Finding("backend_missing", message, self._or_another(advice), error=BackendError)]
        if probe.error:
            does = "does not compute" if probe.loads else "cannot be loaded"
            message = f"the Keras backend {self.chosen!r} is installed, but {does}: {probe.error}"
            advice = self._or_another(reinstall(self.chosen))
            return [Finding("backend_broken", message, advice, error=BackendError)]
        return []

    def _or_another(self, command: str) -> str:
        instead = self._instead(none="")
        return f"{command}\nor for now: export KERAS_BACKEND={instead}" if instead else command

    def _instead(self, none: str = "jax") -> str:
        """A backend that works."""
        working = (name for name, probe in self.probes.items() if probe.loads and not probe.error)
        return next((name for name in working if name != self.chosen), none)


def _broken_beside(probe: Probe) -> Finding:
    """A backend that is not chosen; Keras loads TensorFlow beside any other, if it is installed."""
    name = probe.name
    message = f"{name} {probe.version or ''} is installed, but does not work: {probe.error}"
    used = name == "tensorflow"
    return Finding(
        f"{name}_broken",
        message + "; Keras loads it beside any backend" * used,
        f"{reinstall(name)}, or remove it: pip uninstall {name}",
        level=CHANGE if used else NOTE,
    )


def _line(probe: Probe) -> str:
    if not probe.installed:
        return f"{probe.name}: not installed ({BACKENDS[probe.name].install})"
    name = f"{probe.name} {probe.version or '(of unknown version)'}"
    if probe.error:
        return f"{name}: BROKEN: {probe.error}"
    seen = ", ".join(_device(device) for device in probe.devices)
    return f"{name}: works, loads in {probe.seconds:.1f} CPU s, sees {seen}"


def _device(device: Any) -> str:
    return device.name + (f" ({device.memory / 2**30:.0f} GiB)" if device.memory else "")


def _json(probe: Probe) -> dict[str, Any]:
    return {
        "installed": probe.installed,
        "version": probe.version,
        "loads": probe.loads,
        "error": probe.error,
        "seconds": probe.seconds,
        "devices": [asdict(device) for device in probe.devices],
    }
