"""Assign the files of a folder to images: by the name of the image and one suffix for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from usrn_keras.data import Sample
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.file_index import walk
from usrn_keras.errors import DataError

SHOWN = 3  # examples in a message
Rules = dict[str, dict[str, list[Path]]]  # suffix: sample name: files


@dataclass(frozen=True)
class Matches:
    """The files of a folder that belong to images.

    Attributes:
        files: File of each sample by the name of the sample; samples without a file are left out.
        suffix: Text that follows the name of the image in all file names, before `.png`.
        extra: Files that belong to no sample.
    """

    files: Mapping[str, Path]
    suffix: str
    extra: tuple[Path, ...]


def match_files(folder: Path | str, samples: Sequence[Sample]) -> Matches:
    """Find the PNG file of each sample below a folder.

    A file has the name of its sample, followed by a suffix such as `_pred` that is the same for all. If the
    last parts of the names of all samples differ, the file may be in any sub-folder, otherwise in that of the
    name. Of several suffixes, the one with the most samples is used; names without a suffix are preferred if
    at least half as many samples have them.

    Raises:
        DataError: The folder is missing, has no PNG file or none that belongs to a sample, two suffixes fit
            equally well, or several files belong to one sample.

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
    _validate_unique(folder, chosen)
    used = {found[0] for found in chosen.values()}
    extra = tuple(path for path in files if path not in used)
    return Matches({name: found[0] for name, found in chosen.items()}, suffix, extra)


def _png_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {problem}", hint="Give the folder of the masks: --predictions FOLDER")
    errors = ErrorList()
    found = [
        Path(parent) / name
        for parent, _, names in walk(folder, errors.add)
        for name in names
        if name.lower().endswith(".png")
    ]
    errors.raise_if_any(f"some folders below {folder} cannot be read")
    if not found:
        raise DataError(f"{folder} contains no PNG files", hint="Write the masks as PNG, one for each image.")
    return sorted(found)


def _likeliest(folder: Path, rules: Rules) -> str:
    """The suffix that most samples have, or none."""
    most = max(map(len, rules.values()))
    if 2 * len(rules.get("", ())) >= most:
        return ""
    suffixes = sorted(suffix for suffix, files in rules.items() if len(files) == most)
    if len(suffixes) > 1:
        named = ", ".join(f"NAME{suffix}.png" for suffix in suffixes[:SHOWN])
        raise DataError(
            f"{folder}: several kinds of files fit the images equally well: {named}",
            hint="Keep one kind in the folder, or move it to a separate folder.",
        )
    return suffixes[0]


def _rules(files: Sequence[Path], folder: Path, samples: Sequence[Sample]) -> Rules:
    """For each suffix, the files of the samples that have one with it."""
    owners = {sample.name: sample.name for sample in samples}
    flat = {PurePosixPath(name).name: name for name in owners}
    if len(flat) == len(owners):  # no two images have the same name in different folders
        owners = flat | owners
    rules: Rules = {}
    for path in files:
        for suffix, name in _owners_of(path, folder, owners):
            rules.setdefault(suffix, {}).setdefault(name, []).append(path)
    return rules


def _owners_of(path: Path, folder: Path, owners: Mapping[str, str]) -> list[tuple[str, str]]:
    """Suffixes and names of the samples whose name is the start of the file name."""
    whole = path.relative_to(folder).with_suffix("").as_posix()
    found = {}
    for name in (whole, path.stem):
        for end in range(len(name), 0, -1):
            suffix = name[end:]
            if name[:end] in owners and not suffix[:1].isdigit():  # 10.png does not belong to image 1
                found.setdefault((suffix, owners[name[:end]]), None)
    return list(found)


def _validate_unique(folder: Path, files: Mapping[str, Sequence[Path]]) -> None:
    errors = ErrorList()
    for name, found in files.items():
        if len(found) > 1:
            errors.add(f"{name}: {', '.join(str(path.relative_to(folder)) for path in found)}")
    errors.raise_if_any(f"{folder}: several files belong to one image", hint="Keep one file for each image.")


def _nothing_fits(folder: Path, files: Sequence[Path], samples: Sequence[Sample]) -> DataError:
    stem = PurePosixPath(samples[0].name).name
    there = ", ".join(str(path.relative_to(folder)) for path in files[:SHOWN])
    return DataError(
        f"{folder}: none of its {len(files)} PNG files has the name of one of the {len(samples)} images: "
        + there
        + (", ..." if len(files) > SHOWN else ""),
        hint=f"Name the masks like the images, such as {stem}.png or {stem}_pred.png.",
    )
