"""`check_wheel.py REPOSITORY WHEEL`: every module, recipe, split list and template is in it and installed."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import usrn_keras

FOLDERS = {"usrn_keras": "usrn_keras", "cli": "usrn_cli", "recipes": "usrn_recipes"}
SUFFIXES = {".py", ".toml", ".txt", ".typed", ".html", ".css"}


def expected(repository: Path) -> set[str]:
    """Names in the wheel of the files that the repository has."""
    return {
        f"{package}/{path.relative_to(repository / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (repository / folder).rglob("*")
        if path.suffix in SUFFIXES and "__pycache__" not in path.parts
    }


def main(repository: Path, wheel: Path) -> None:
    """Exit with a message unless all is there."""
    missing = expected(repository) - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        sys.exit(f"{wheel.name} lacks: {', '.join(sorted(missing))}")
    if repository in Path(usrn_keras.__file__).parents:
        sys.exit("usrn_keras is imported from the repository, not from the wheel")
    print(f"{wheel.name}: complete")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
