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
from usrn_keras.data.formats.list_lines import clean_entry, parse_lines, without_suffix
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


@dataclass(frozen=True)
class Entries:
    """What the entries of lists mean in a data set.

    Args:
        canonical: Function that converts an entry without suffix, such as a path from the root, to a name.
        knows: Function that says whether an entry without suffix means an image of the data set.
        other_mask: Function from a name and the mask in its line to the mask that the data set takes instead;
            None if they are the same, or nothing is known about masks.
    """

    canonical: Callable[[str], str] = str
    knows: Callable[[str], bool] = lambda entry: False
    other_mask: Callable[[str, str], Path | None] = lambda name, mask: None


BY_LAST_PART = Entries(lambda entry: PurePosixPath(entry).name)


def read_list(path: Path, errors: ErrorList, entries: Entries | None = None) -> Names:
    """Read a list file with one image per line, as this package and other tools write them.

    A line may be a name or a path, with or without suffix, or an image and its mask, see `list_lines`; empty
    lines, lines that start with `#` and the heading of a table are skipped. Paths outside the data set and
    repeated names are errors. A mask that differs from that of the data set is a note.

    Args:
        path: Path of the list file.
        errors: Receives the errors and notes.
        entries: What the entries mean; by default an entry without suffix is a name.
    """
    entries = entries or Entries()
    names: dict[str, int] = {}

    def knows(text: str) -> bool:
        return any(entries.knows(without_suffix(entry)) for entry in _readings(text))

    for line in parse_lines(_lines(path, errors), knows):
        readings = [without_suffix(entry) for entry in _readings(line.image)]
        entry = next(filter(entries.knows, readings), readings[-1])
        # In lists of the official code, the paths of image and mask start with a slash.
        path_of_image = clean_entry(line.image.removeprefix("/" if line.mask else ""))
        if not entries.knows(entry) and _leads_outside(path_of_image):
            errors.add(f"{path}, line {line.number}: `{line.text}` is not a path in the data set")
            continue
        name = entries.canonical(entry)
        if name in names:
            errors.add(f"{path}, line {line.number}: `{name}` is already in line {names[name]}")
        names.setdefault(name, line.number)
        if line.mask and (taken := entries.other_mask(name, clean_entry(line.mask))):
            errors.note(
                f"{path}, line {line.number}: names the mask {line.mask}, but the data set takes {taken}"
            )
    return tuple(names)


def _readings(entry: str) -> tuple[str, ...]:
    """What an entry may mean: as it is, with slashes, and without a slash at its start."""
    cleaned = clean_entry(entry)
    return tuple(dict.fromkeys([entry, cleaned, cleaned.removeprefix("/")]))


def _lines(path: Path, errors: ErrorList) -> list[str]:
    if not path.is_file():
        errors.add(f"the list {path} does not exist")
        return []
    try:
        return read_lines(path)
    except DataError as error:
        errors.add(f"the list {error.message}")
        return []


def _leads_outside(entry: str) -> bool:
    return entry == "." or ".." in entry.split("/") or bool(re.match(r"/|[A-Za-z]:", entry))


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


def given_lists(
    data: DataSection, root: Path, errors: ErrorList, entries: Entries | None = None
) -> dict[str, Names]:
    """Read the lists of a recipe by part: those of `data.split`, and its list files.

    If both define the same part, they must be equal: `usrn split` writes the val list of the recipe to its
    folder too.

    Args:
        data: Section `[data]` of the recipe.
        root: Folder of the data set.
        errors: Receives the errors.
        entries: What the entries of the lists mean.
    """
    files = {part: getattr(data, part) for part in PARTS if getattr(data, part)}
    given = {part: read_list(root / Path(file).expanduser(), errors, entries) for part, file in files.items()}
    of_split = _split(data, root, errors, entries)
    for part in given.keys() & of_split.keys():
        if set(given[part]) != set(of_split[part]):
            errors.add(
                f"data.split and data.{part} list different {part} images: use only one of them "
                f"(--set data.{part}= removes the list)"
            )
    return {**given, **of_split}


def split_lists(
    dataset: str, data: DataSection, root: Path, errors: ErrorList, entries: Entries | None = None
) -> Lists:
    """Read the lists of a data set with shipped splits. List files of the recipe replace them.

    Images of the shipped train list that are neither labelled nor in val or test are unlabelled.

    Args:
        dataset: Name of the data set.
        data: Section `[data]` of the recipe.
        root: Folder of the data set.
        errors: Receives the errors.
        entries: What the entries of the lists mean; by default the last part of a path is the name.
    """
    if not (data.split or data.labelled):
        errors.add(no_split(dataset))
    given = given_lists(data, root, errors, entries or BY_LAST_PART)
    val = given.get("val", shipped_list(dataset, "val"))
    test = given.get("test", shipped_list(dataset, "test"))
    known = {*given.get("labelled", ()), *val, *test}
    rest = tuple(name for name in shipped_list(dataset, "train") if name not in known)
    return Lists(given.get("labelled", ()), given.get("unlabelled", rest), val, test)


def no_split(dataset: str) -> str:
    """Error message for a recipe without a split."""
    return f"data.split is empty: choose a split; {_shipped(dataset)}"


def _split(data: DataSection, root: Path, errors: ErrorList, entries: Entries | None) -> dict[str, Names]:
    """Read the lists of `data.split` by part."""
    if not data.split:
        return {}
    shipped = _shipped_split(data)
    if shipped is not None:
        return {"labelled": shipped}
    path = root / Path(data.split).expanduser()
    if path.is_dir():
        return _split_folder(path, errors, entries)
    if path.is_file():
        return {"labelled": read_list(path, errors, entries)}
    errors.add(
        f"data.split = `{data.split}` with data.split_seed = {data.split_seed} is not shipped, and {path} is "
        f"neither a folder that `usrn split` wrote nor a list file; {_shipped(data.dataset)}"
    )
    return {}


def _split_folder(folder: Path, errors: ErrorList, entries: Entries | None) -> dict[str, Names]:
    lists = {part: folder / f"{part}.txt" for part in PARTS}
    return {
        part: read_list(path, errors, entries)
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
