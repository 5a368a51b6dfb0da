"""Which file of a folder belongs to which image: by the image's name, and one suffix for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from usrn_keras.data import Sample
from usrn_keras.data.faults import Faults
from usrn_keras.data.files.walk import walk
from usrn_keras.errors import DataError

SHOWN = 3  # examples in a message
Rules = dict[str, dict[str, list[Path]]]  # suffix: sample name: files


@dataclass(frozen=True)
class Matches:
    """The files of a folder that belong to images.

    Attributes:
        files: The file of each sample by its name; samples without one are not in it.
        suffix: What all the file names have after that of the image, before `.png`.
        extra: Files that belong to no sample.
    """

    files: Mapping[str, Path]
    suffix: str
    extra: tuple[Path, ...]


def match_files(folder: Path | str, samples: Sequence[Sample]) -> Matches:
    """Find the PNG file of each sample below a folder.

    A file is named as its sample, with the sub-folders or, where the last part of each sample's name is
    its own, without them or in others; then comes a suffix such as `_pred`, the same for all.
    Of several suffixes the one that the most samples have is taken; names without one go before, if they
    are half as many.

    Raises:
        DataError: The folder is missing, has no PNG file, none that fits a sample, two suffixes that fit
            as many, or several files for one sample.

    Example:

    >>> match_files("predictions", dataset.val).suffix  # doctest: +SKIP
    '_pred'
    """
    folder = Path(folder)
    files = _png_files(folder)
    rules = _rules(files, folder, samples)
    if not rules:
        raise _nothing_fits(folder, files, samples)
    suffix = _likeliest(folder, rules)
    chosen = rules[suffix]
    _refuse_doubles(folder, chosen)
    used = {found[0] for found in chosen.values()}
    extra = tuple(path for path in files if path not in used)
    return Matches({name: found[0] for name, found in chosen.items()}, suffix, extra)


def _png_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}", hint="Name the folder of the masks: --predictions FOLDER")
    faults = Faults()
    found = [
        Path(parent) / name
        for parent, _, names in walk(folder, faults.add)
        for name in names
        if name.lower().endswith(".png")
    ]
    faults.raise_if_any(f"{folder} cannot be read as a whole")
    if not found:
        raise DataError(f"{folder} holds no PNG files", hint="Write the masks as PNG, one for each image.")
    return sorted(found)


def _likeliest(folder: Path, rules: Rules) -> str:
    """The suffix that most samples have."""
    most = max(map(len, rules.values()))
    if 2 * len(rules.get("", ())) >= most:
        return ""
    suffixes = sorted(suffix for suffix, files in rules.items() if len(files) == most)
    if len(suffixes) > 1:
        named = ", ".join(f"NAME{suffix}.png" for suffix in suffixes[:SHOWN])
        raise DataError(
            f"{folder}: several kinds of files fit the images equally well: {named}",
            hint="Leave one kind in the folder, or move it to a folder of its own.",
        )
    return suffixes[0]


def _rules(files: Sequence[Path], folder: Path, samples: Sequence[Sample]) -> Rules:
    """For each suffix, the files of the samples that have one with it."""
    owners = {sample.name: sample.name for sample in samples}
    flat = {PurePosixPath(name).name: name for name in owners}
    if len(flat) == len(owners):  # no two images are of one name in different folders
        owners = flat | owners
    rules: Rules = {}
    for path in files:
        for suffix, name in _owners_of(path, folder, owners):
            rules.setdefault(suffix, {}).setdefault(name, []).append(path)
    return rules


def _owners_of(path: Path, folder: Path, owners: Mapping[str, str]) -> list[tuple[str, str]]:
    """Suffixes and names of the samples whose names the file name starts with."""
    whole = path.relative_to(folder).with_suffix("").as_posix()
    found = {}
    for name in (whole, path.stem):
        for end in range(len(name), 0, -1):
            suffix = name[end:]
            if name[:end] in owners and not suffix[:1].isdigit():  # 10.png is not that of image 1
                found.setdefault((suffix, owners[name[:end]]), None)
    return list(found)


def _refuse_doubles(folder: Path, files: Mapping[str, Sequence[Path]]) -> None:
    faults = Faults()
    for name, found in files.items():
        if len(found) > 1:
            faults.add(f"{name}: {', '.join(str(path.relative_to(folder)) for path in found)}")
    faults.raise_if_any(f"{folder}: several files fit one image", hint="Leave one file for each image.")


def _nothing_fits(folder: Path, files: Sequence[Path], samples: Sequence[Sample]) -> DataError:
    stem = PurePosixPath(samples[0].name).name
    there = ", ".join(str(path.relative_to(folder)) for path in files[:SHOWN])
    return DataError(
        f"{folder}: none of its {len(files)} PNG files is named as one of the {len(samples)} images: {there}"
        + (", ..." if len(files) > SHOWN else ""),
        hint=f"Name them as the images, such as {stem}.png or {stem}_pred.png.",
    )
