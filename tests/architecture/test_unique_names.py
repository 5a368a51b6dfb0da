"""A file name and the name of a public class say one thing in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from tests.tools import ROOT

FILES = sorted((ROOT / "usrn_keras").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Files of one backend each lie side by side and define the same names: that is how a backend is chosen.
PER_BACKEND = ("torch", "jax", "tensorflow")

# Names that are used twice and are known; `test_every_exception_is_still_needed` says which can go.
FILE_EXCEPTIONS: set[str] = set()
CLASS_EXCEPTIONS: set[str] = set()


def per_backend(paths: list[Path]) -> bool:
    folders = {path.parent for path in paths}
    return len(folders) == 1 and all(path.stem.endswith(PER_BACKEND) for path in paths)


def repeated_files() -> dict[str, list[Path]]:
    places = defaultdict(list)
    for path in FILES:
        if path.name != "__init__.py":
            places[path.name].append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def repeated_classes() -> dict[str, list[Path]]:
    places = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1 and not per_backend(paths)}


def test_file_names_are_unique():
    assert not {name: paths for name, paths in repeated_files().items() if name not in FILE_EXCEPTIONS}


def test_names_of_public_classes_are_unique():
    assert not {name: paths for name, paths in repeated_classes().items() if name not in CLASS_EXCEPTIONS}


def test_every_exception_is_still_needed():
    assert repeated_files().keys() >= FILE_EXCEPTIONS
    assert repeated_classes().keys() >= CLASS_EXCEPTIONS


def test_tests_mirror_the_package():
    """Every folder of tests is a part of the package, or one of these; nothing but tools lies at the root."""
    others = {"architecture", "attacks", "benchmarks", "cli", "docs", "end_to_end", "project_files"}
    others |= {"recipes", "root", "methods/golden"}
    folders = {path.parent.relative_to(ROOT / "tests").as_posix() for path in TESTS} - {"."}
    package = {path.parent.relative_to(ROOT / "usrn_keras").as_posix() for path in FILES}
    package |= {path.stem for path in FILES if path.parent == ROOT / "usrn_keras"}
    assert not sorted(folders - others - package)
    assert sorted(path.name for path in TESTS if path.parent == ROOT / "tests") == ["conftest.py", "tools.py"]
