"""Lists of names: from list files, from shipped splits, and matched with the files on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from usrn_keras.data.faults import Faults
from usrn_keras.data.sample import Sample
from usrn_keras.recipe.schema import Data

Names = tuple[str, ...]


@dataclass(frozen=True)
class Lists:
    """The names in each part of a data set."""

    labelled: Names
    unlabelled: Names
    val: Names
    test: Names = ()


def index_files(
    folder: Path, suffixes: tuple[str, ...], faults: Faults, *, ending: str = ""
) -> dict[str, Path]:
    """Every file below `folder` with one of the suffixes, by name.

    The name is the path relative to the folder, with `/`, without suffix and without `ending`; files
    that lack the ending are left out, and so is what is hidden. Two files of one name are a fault.
    """
    found: dict[str, Path] = {}
    for parent, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        relative = Path(parent).relative_to(folder)
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            if suffix.lower() not in suffixes or not stem.endswith(ending) or file.startswith("."):
                continue
            name = (relative / stem.removesuffix(ending)).as_posix()
            path = Path(parent, file)
            if name in found:
                faults.add(f"{found[name]} and {path} have the same name `{name}`: rename or remove one")
            found.setdefault(name, path)
    return found


def index_parts(
    folder: Path, parts: tuple[str, ...], suffixes: tuple[str, ...], faults: Faults, *, ending: str = ""
) -> dict[str, Path]:
    """`index_files` of the sub-folders `parts` together; the names leave the part out."""
    found: dict[str, Path] = {}
    for part in parts:
        for name, path in index_files(folder / part, suffixes, faults, ending=ending).items():
            if name in found:
                faults.add(f"{found[name]} and {path} have the same name `{name}`: remove one")
            found.setdefault(name, path)
    return found


def read_list(path: Path, suffixes: tuple[str, ...], faults: Faults) -> Names:
    """The names in a list file, one per line; empty lines and lines that start with `#` are skipped.

    A name may carry the suffix of its image: `street/a.jpg` and `street/a` are both `street/a`.
    Paths that are absolute or lead out of the data set (`..`) are faults, and so are repeated names.
    """
    if not path.is_file():
        faults.add(f"the list {path} does not exist")
        return ()
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        faults.add(f"the list {path} cannot be read: {error}")
        return ()
    names: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        if _leads_outside(line):
            faults.add(f"{path}, line {number}: `{line}` is no path inside the data set")
            continue
        name = _without_suffix(PurePosixPath(line), suffixes)
        if name in names:
            faults.add(f"{path}, line {number}: `{name}` stands in line {names[name]} already")
        names.setdefault(name, number)
    return tuple(names)


def _leads_outside(entry: str) -> bool:
    path = entry.replace("\\", "/")
    return ".." in path.split("/") or bool(re.match(r"/|[A-Za-z]:", path))


def _without_suffix(path: PurePosixPath, suffixes: tuple[str, ...]) -> str:
    return (path.with_suffix("") if path.suffix.lower() in suffixes else path).as_posix()


def list_path(data: Data, file: str) -> Path:
    """Where a list file of the recipe lies: relative to the root of the data set."""
    return Path(data.root).expanduser() / file


def split_lists(dataset: str, data: Data, suffixes: tuple[str, ...], faults: Faults) -> Lists:
    """The lists of a data set that ships its splits; list files of the recipe take their place.

    `data.split` chooses the labelled images, and the rest of the shipped train list is unlabelled.
    """
    given = {
        part: read_list(list_path(data, file), suffixes, faults)
        for part in ("labelled", "unlabelled", "val", "test")
        if (file := getattr(data, part))
    }
    if data.split and "labelled" in given:
        faults.add("data.split and data.labelled both say which images are labelled: give one of them")
    labelled = given["labelled"] if "labelled" in given else _shipped_split(dataset, data, faults)
    known = set(labelled)
    rest = tuple(name for name in shipped_list(dataset, "train") if name not in known)
    return Lists(
        labelled=labelled,
        unlabelled=given.get("unlabelled", rest),
        val=given.get("val", shipped_list(dataset, "val")),
        test=given.get("test", shipped_list(dataset, "test")),
    )


def _shipped_split(dataset: str, data: Data, faults: Faults) -> Names:
    seeded, plain = f"labelled_{data.split}_seed{data.split_seed}", f"labelled_{data.split}"
    available = shipped_splits(dataset)
    if seeded in available:
        return shipped_list(dataset, seeded)
    if plain in available and data.split_seed == 0:
        return shipped_list(dataset, plain)
    known = ", ".join(name.removeprefix("labelled_").replace("_seed", " seed ") for name in available)
    faults.add(
        f"data.split = `{data.split}` with data.split_seed = {data.split_seed} is not shipped; known: {known}"
    )
    return ()


def shipped_splits(dataset: str) -> Names:
    """Names of the labelled lists shipped for a data set, such as `labelled_1_8_seed0`."""
    files = resources.files("usrn_keras").joinpath("data", "splits", dataset).iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.startswith("labelled_")))


def shipped_list(dataset: str, name: str) -> Names:
    """A shipped list, such as `train`; empty where the data set has none of that name."""
    file = resources.files("usrn_keras").joinpath("data", "splits", dataset, f"{name}.txt")
    return tuple(file.read_text(encoding="utf-8").split()) if file.is_file() else ()


def make_samples(
    part: str,
    names: Iterable[str],
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    faults: Faults,
) -> tuple[Sample, ...]:
    """Samples for a list of names.

    A missing image is a fault; so is a missing mask, except in the part `unlabelled`.
    """
    samples = []
    for name in names:
        if name not in images:
            faults.add(f"{part}: there is no image `{name}`")
        elif name not in masks and part != "unlabelled":
            faults.add(f"{part}: there is no mask for {images[name]}")
        else:
            samples.append(Sample(name, images[name], masks.get(name)))
    return tuple(samples)
