"""Lists of names for each part of a data set, matched with the files on disk.

The lists come from a shipped split, from a folder of lists, or from list files of the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from usrn_keras.data.dataset import PARTS, ErrorList, Sample
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


def read_list(path: Path, errors: ErrorList, canonical: Callable[[str], str] = str) -> Names:
    """Read a list file with one name per line. Empty lines and lines that start with `#` are skipped.

    A name may have the suffix of its image: `street/a.jpg` and `street/a` are both `street/a`. For a line
    `IMAGE MASK`, as in the lists of the official code, the name is that of the image. Absolute paths, paths
    outside the data set (`..`) and repeated names are errors.

    Args:
        path: Path of the list file.
        errors: Receives the errors.
        canonical: Function that converts an entry, such as a path from the root, to the name in the data set.
    """
    names: dict[str, int] = {}
    for number, line in enumerate(_lines(path, errors), 1):
        if not line or line.startswith("#"):
            continue
        entry = _image_of_pair(line)
        if _leads_outside(entry):
            errors.add(f"{path}, line {number}: `{line}` is not a path in the data set")
            continue
        name = canonical(_without_suffix(PurePosixPath(entry)))
        if name in names:
            errors.add(f"{path}, line {number}: `{name}` is already in line {names[name]}")
        names.setdefault(name, number)
    return tuple(names)


def _lines(path: Path, errors: ErrorList) -> list[str]:
    if not path.is_file():
        errors.add(f"the list {path} does not exist")
        return []
    try:
        return read_lines(path)
    except DataError as error:
        errors.add(f"the list {error.message}")
        return []


def _image_of_pair(line: str) -> str:
    """Get the image of a line `IMAGE MASK`, whose paths may start with a slash; otherwise the line."""
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
    errors: ErrorList,
) -> tuple[Sample, ...]:
    """Build the samples of a list of names.

    A missing image is an error, and so is a missing mask except in the part `unlabelled`.

    Args:
        part: Name of the part.
        names: Names of the samples.
        images: Image files by name.
        masks: Mask files by name.
        errors: Receives the errors.
    """
    samples = []
    for name in names:
        if name not in images:
            errors.add(f"{part}: there is no image `{name}`")
        elif name not in masks and part != "unlabelled":
            errors.add(f"{part}: there is no mask for {images[name]}")
        else:
            samples.append(Sample(name, images[name], masks.get(name)))
    return tuple(samples)


Canonical = Callable[[str], str]


def given_lists(
    data: DataSection, root: Path, errors: ErrorList, canonical: Canonical = str
) -> dict[str, Names]:
    """Read the lists of a recipe by part: those of `data.split`, and its list files.

    If both define the same part, they must be equal: `usrn split` writes the val list of the recipe to its
    folder too.

    Args:
        data: Section `[data]` of the recipe.
        root: Folder of the data set.
        errors: Receives the errors.
        canonical: Function that converts an entry of a list to a name.
    """
    files = {part: getattr(data, part) for part in PARTS if getattr(data, part)}
    given = {
        part: read_list(root / Path(file).expanduser(), errors, canonical) for part, file in files.items()
    }
    of_split = _split(data, root, errors, canonical)
    for part in given.keys() & of_split.keys():
        if set(given[part]) != set(of_split[part]):
            errors.add(
                f"data.split and data.{part} list different {part} images: use only one of them "
                f"(--set data.{part}= removes the list)"
            )
    return {**given, **of_split}


def split_lists(
    dataset: str, data: DataSection, root: Path, errors: ErrorList, canonical: Canonical | None = None
) -> Lists:
    """Read the lists of a data set with shipped splits. List files of the recipe replace them.

    Images of the shipped train list that are neither labelled nor in val or test are unlabelled.

    Args:
        dataset: Name of the data set.
        data: Section `[data]` of the recipe.
        root: Folder of the data set.
        errors: Receives the errors.
        canonical: Function that converts an entry of a list to a name; by default the last part of a path.
    """
    if not (data.split or data.labelled):
        errors.add(no_split(dataset))
    given = given_lists(data, root, errors, canonical or (lambda entry: PurePosixPath(entry).name))
    val = given.get("val", shipped_list(dataset, "val"))
    test = given.get("test", shipped_list(dataset, "test"))
    known = {*given.get("labelled", ()), *val, *test}
    rest = tuple(name for name in shipped_list(dataset, "train") if name not in known)
    return Lists(given.get("labelled", ()), given.get("unlabelled", rest), val, test)


def no_split(dataset: str) -> str:
    """Error message for a recipe without a split."""
    return f"data.split is empty: choose a split; {_shipped(dataset)}"


def _split(data: DataSection, root: Path, errors: ErrorList, canonical: Canonical) -> dict[str, Names]:
    """Read the lists of `data.split` by part."""
    if not data.split:
        return {}
    shipped = _shipped_split(data)
    if shipped is not None:
        return {"labelled": shipped}
    path = root / Path(data.split).expanduser()
    if path.is_dir():
        return _split_folder(path, errors, canonical)
    if path.is_file():
        return {"labelled": read_list(path, errors, canonical)}
    errors.add(
        f"data.split = `{data.split}` with data.split_seed = {data.split_seed} is not shipped, and {path} is "
        f"neither a folder that `usrn split` wrote nor a list file; {_shipped(data.dataset)}"
    )
    return {}


def _split_folder(folder: Path, errors: ErrorList, canonical: Canonical) -> dict[str, Names]:
    lists = {part: folder / f"{part}.txt" for part in PARTS}
    return {
        part: read_list(path, errors, canonical)
        for part, path in lists.items()
        if part == "labelled" or path.exists()
    }


def _shipped_split(data: DataSection) -> Names | None:
    """Read the labelled list of a shipped split; None if its name or seed is unknown."""
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
    return f"shipped splits: {', '.join(names)}"


def shipped_splits(dataset: str) -> Names:
    """List the names of the labelled lists shipped for a data set, such as `labelled_1_8_seed0`."""
    folder = resources.files("usrn_keras").joinpath("data", "splits", dataset)
    if not folder.is_dir():
        return ()
    return tuple(
        sorted(Path(file.name).stem for file in folder.iterdir() if file.name.startswith("labelled_"))
    )


def split_names(dataset: str) -> Names:
    """Return the values of `data.split` that are shipped for a data set, such as `1_8`."""
    names = (name.removeprefix("labelled_") for name in shipped_splits(dataset))
    return tuple(dict.fromkeys(re.sub(r"_seed\d+$", "", name) for name in names))


def shipped_list(dataset: str, name: str) -> Names:
    """Read a shipped list, such as `train`; empty if the data set has no such list."""
    file = resources.files("usrn_keras").joinpath("data", "splits", dataset, f"{name}.txt")
    return tuple(file.read_text(encoding="utf-8").split()) if file.is_file() else ()
