"""Versions of Python and packages, against what usrn-keras was tested with."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import usrn_keras
from usrn_keras.backend_choice import BACKENDS
from usrn_keras.doctor.findings import NOTE, Finding
from usrn_keras.doctor.process import Child, Ended, start
from usrn_keras.errors import BackendError

DISTRIBUTION = "usrn-keras"
SHOWN = ("keras", "numpy", "opencv-python-headless", "scikit-learn", "keras-cv", "tensorflow", "jax", "torch")
MODULES = {  # what training imports beside the backend, and the package that holds it
    "numpy": "numpy",
    "pydantic": "pydantic",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "h5py": "h5py",
    "sklearn": "scikit-learn",
    "numba": "numba",
}
IMPORTS = Path(__file__).with_name("imports.py")
# Only some backends and some recipes need these.
OPTIONAL = ("keras-cv", "tensorflow", "jax", "torch")


@dataclass(frozen=True)
class Installation:
    """What is installed.

    Args:
        python: Version of Python.
        system: Such as `Linux x86_64`.
        versions: Of each package that is shown or required; None: not installed.
        bounds: The versions that usrn-keras asks for, by package; empty where it is not installed itself.
        broken: Why modules of `MODULES` cannot be imported, by module.
    """

    python: str
    system: str
    versions: Mapping[str, str | None]
    bounds: Mapping[str, SpecifierSet]
    broken: Mapping[str, str] = field(default_factory=dict)
    title = "versions"

    def lines(self) -> list[str]:
        """Python and usrn-keras, then packages; backends have a section of their own."""
        names = [name for name in SHOWN if name not in BACKENDS]
        shown = [f"{name} {self.versions[name] or '(not installed)'}" for name in names]
        return [
            f"usrn-keras {usrn_keras.__version__}, Python {self.python}, {self.system}",
            ", ".join(shown),
        ]

    def to_json(self) -> dict[str, Any]:
        """The same for machines, with all required packages."""
        return {
            "usrn_keras": usrn_keras.__version__,
            "python": self.python,
            "system": self.system,
            "packages": dict(self.versions),
            "broken": dict(self.broken),
        }

    def findings(self) -> list[Finding]:
        """Packages that are missing, or of a version that was not tested."""
        if not self.bounds:
            message = "usrn-keras is not installed as a package: its bounds on versions are not known"
            return [Finding("not_installed", message, "pip install -e .   (in its folder)", level=NOTE)]
        missing = [name for name in self.bounds if self.versions[name] is None and name not in OPTIONAL]
        wrong = [
            name for name, bound in self.bounds.items()
            if self.versions[name] is not None and not bound.contains(self.versions[name], prereleases=True)
        ]  # fmt: skip
        return [*self._missing(missing), *self._broken(), *self._wrong(wrong)]

    def _missing(self, names: list[str]) -> list[Finding]:
        if not names:
            return []
        message = f"packages that training needs are not installed: {', '.join(names)}"
        return [Finding("packages_missing", message, self._install(names), error=BackendError)]

    def _broken(self) -> list[Finding]:
        """Those that are installed; what is missing is said already."""
        return [
            Finding(
                f"{module}_broken",
                f"{MODULES[module]} {self.versions.get(MODULES[module])} cannot be loaded: {why}",
                f"pip install --force-reinstall {MODULES[module]}",
                error=BackendError,
            )
            for module, why in self.broken.items()
            if self.versions.get(MODULES[module])
        ]

    def _wrong(self, names: list[str]) -> list[Finding]:
        if not names:
            return []
        lines = tuple(f"{name} {self.versions[name]}, needs {self.bounds[name]}" for name in names)
        message = "packages of a version that usrn-keras was not tested with"
        return [Finding("packages_untested", message, self._install(names), lines)]

    def _install(self, names: list[str]) -> str:
        return "pip install " + " ".join(f"'{name}{self.bounds[name]}'" for name in names)


def try_packages() -> contextlib.AbstractContextManager[Child]:
    """A process that imports `MODULES`."""
    return start(IMPORTS, *MODULES)


def look_at_installation(tried: Ended) -> Installation:
    """Versions from the packages' own records.

    Args:
        tried: How `try_packages` ended.
    """
    bounds = _bounds(_requirements())
    names = [*SHOWN, *(name for name in bounds if name not in SHOWN)]
    system = f"{platform.system()} {platform.machine()}"
    versions = {name: _version(name) for name in names}
    broken = {next(iter(MODULES)): tried.failure} if tried.report is None else tried.report
    return Installation(platform.python_version(), system, versions, bounds, broken)


def _requirements() -> Iterable[str]:
    try:
        return metadata.requires(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:
        return ()


def _bounds(requirements: Iterable[str]) -> dict[str, SpecifierSet]:
    """Those of a plain installation, and torch's."""
    bounds = {}
    for requirement in map(Requirement, requirements):
        extra = "torch" if requirement.name == "torch" else ""
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            bounds[requirement.name] = requirement.specifier
    return bounds


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
