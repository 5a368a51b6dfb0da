"""Which images are labelled: lists of names, matched with the files on disk.

The lists come from a shipped split, a folder of lists, or list files that the recipe names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from usrn_keras.data.dataset import PARTS, Faults, Sample
from usrn_keras.data.file_index import read_lines
from usrn_keras.data.images import IMAGE_SUFFIXES
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection

Names = tuple[str, ...]


@dataclass(frozen=True)
class Lists:
    """The names in each part of a data set."""

    labelled: Names
    unlabelled: Names
    val: Names
    test: Names = ()


def read_list(path: Path, faults: Faults, canonical: Callable[[str], str] = str) -> Names:
    """The names in a list file, one per line; empty lines and lines that start with `#` are skipped.

    A name may carry the suffix of its image: `street/a.jpg` and `street/a` are both `street/a`. Of a line
    `IMAGE MASK`, as in the lists of the official code, the image is taken.
    Paths that are absolute or lead out of the data set (`..`) are faults, and so are repeated names.

    Args:
        path: The list file.
        faults: Takes the faults.
        canonical: Gives the name that the data set has for an entry, such as a path from its root.
    """
    names: dict[str, int] = {}
    for number, line in enumerate(_lines(path, faults), 1):
        if not line or line.startswith("#"):
            continue
        entry = _image_of_pair(line)
        if _leads_outside(entry):
            faults.add(f"{path}, line {number}: `{line}` is no path inside the data set")
            continue
        name = canonical(_without_suffix(PurePosixPath(entry)))
        if name in names:
            faults.add(f"{path}, line {number}: `{name}` stands in line {names[name]} already")
        names.setdefault(name, number)
    return tuple(names)


def _lines(path: Path, faults: Faults) -> list[str]:
    if not path.is_file():
        faults.add(f"the list {path} does not exist")
        return []
    try:
        return read_lines(path)
    except DataError as error:
        faults.add(f"the list {error.message}")
        return []


def _image_of_pair(line: str) -> str:
    """The image of a line `IMAGE MASK`, whose paths may begin with the slash of the root; else the line."""
    image, _, mask = line.partition(" ")
    suffixes = (PurePosixPath(image).suffix.lower(), PurePosixPath(mask).suffix.lower())
    is_pair = suffixes[0] in IMAGE_SUFFIXES and suffixes[1] in MASK_SUFFIXES and " " not in mask.strip()
    return image.removeprefix("/") if is_pair else line


def _leads_outside(entry: str) -> bool:
    path = entry.replace("\\", "/")
    return ".." in path.split("/") or bool(re.match(r"/|[A-Za-z]:", path))


def _without_suffix(path: PurePosixPath) -> str:
    return (path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()


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


Canonical = Callable[[str], str]


def given_lists(
    data: DataSection, root: Path, faults: Faults, canonical: Canonical = str
) -> dict[str, Names]:
    """The lists that a recipe gives, by part: those of `data.split`, and its list files.

    Where both name the same part they must agree: `usrn split` writes the val list of the recipe into its
    folder too.
    """
    files = {part: getattr(data, part) for part in PARTS if getattr(data, part)}
    given = {
        part: read_list(root / Path(file).expanduser(), faults, canonical) for part, file in files.items()
    }
    of_split = _split(data, root, faults, canonical)
    for part in given.keys() & of_split.keys():
        if set(given[part]) != set(of_split[part]):
            faults.add(
                f"data.split and data.{part} name different {part} images: give one of them "
                f"(--set data.{part}= takes the list out)"
            )
    return {**given, **of_split}


def split_lists(
    dataset: str, data: DataSection, root: Path, faults: Faults, canonical: Canonical | None = None
) -> Lists:
    """The lists of a data set that ships its splits; list files of the recipe take their place.

    Images of the shipped train list that are neither labelled nor held out are unlabelled. The entry of a
    list may be a path: its last part is the name, unless `canonical` says otherwise.
    """
    if not (data.split or data.labelled):
        faults.add(no_split(dataset))
    given = given_lists(data, root, faults, canonical or (lambda entry: PurePosixPath(entry).name))
    val = given.get("val", shipped_list(dataset, "val"))
    test = given.get("test", shipped_list(dataset, "test"))
    known = {*given.get("labelled", ()), *val, *test}
    rest = tuple(name for name in shipped_list(dataset, "train") if name not in known)
    return Lists(given.get("labelled", ()), given.get("unlabelled", rest), val, test)


def no_split(dataset: str) -> str:
    """The fault that no split was chosen."""
    return f"data.split is empty: which images are labelled? {_shipped(dataset)}"


def _split(data: DataSection, root: Path, faults: Faults, canonical: Canonical) -> dict[str, Names]:
    """The lists that `data.split` stands for, by part."""
    if not data.split:
        return {}
    shipped = _shipped_split(data)
    if shipped is not None:
        return {"labelled": shipped}
    path = root / Path(data.split).expanduser()
    if path.is_dir():
        return _split_folder(path, faults, canonical)
    if path.is_file():
        return {"labelled": read_list(path, faults, canonical)}
    faults.add(
        f"data.split = `{data.split}` with data.split_seed = {data.split_seed} is not shipped, and {path} is "
        f"neither a folder that `usrn split` wrote nor a list file; {_shipped(data.dataset)}"
    )
    return {}


def _split_folder(folder: Path, faults: Faults, canonical: Canonical) -> dict[str, Names]:
    lists = {part: folder / f"{part}.txt" for part in PARTS}
    return {
        part: read_list(path, faults, canonical)
        for part, path in lists.items()
        if part == "labelled" or path.exists()
    }


def _shipped_split(data: DataSection) -> Names | None:
    """The labelled list of a shipped split; None where there is none of that name and seed."""
    seeded, plain = f"labelled_{data.split}_seed{data.split_seed}", f"labelled_{data.split}"
    available = shipped_splits(data.dataset)
    if seeded in available:
        return shipped_list(data.dataset, seeded)
    if plain in available and data.split_seed == 0:
        return shipped_list(data.dataset, plain)
    return None


def _shipped(dataset: str) -> str:
    names = [name.removeprefix("labelled_").replace("_seed", " seed ") for name in shipped_splits(dataset)]
    if not names:
        return f"no splits are shipped for {dataset} data sets"
    return f"shipped are: {', '.join(names)}"


def shipped_splits(dataset: str) -> Names:
    """Names of the labelled lists shipped for a data set, such as `labelled_1_8_seed0`."""
    folder = resources.files("usrn_keras").joinpath("data", "splits", dataset)
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(Path(file.name).stem for file in folder.iterdir() if file.name.startswith("labelled_"))
    )


def shipped_list(dataset: str, name: str) -> Names:
    """A shipped list, such as `train`; empty where the data set has none of that name."""
    file = resources.files("usrn_keras").joinpath("data", "splits", dataset, f"{name}.txt")
    return tuple(file.read_text(encoding="utf-8").split()) if file.is_file() else ()
