"""Draw a split of a data set, write it to a folder atomically, and read it back (`usrn split`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.catalog import layout_help, load_dataset, root_of
from usrn_keras.data.dataset import PARTS, Dataset, ErrorList, Sample
from usrn_keras.data.formats.assemble import NEEDED
from usrn_keras.data.formats.lists import Lists, no_split, read_list
from usrn_keras.data.masks import read_mask
from usrn_keras.data.random_split import Share, draw_parts, drawable
from usrn_keras.errors import DataError, StorageError
from usrn_keras.files import staged_path
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe.schema import DataSection


def class_pixels(
    samples: Sequence[Sample], dataset: Dataset, *, workers: int = 0, progress: Progress = SILENT
) -> np.ndarray:
    """Count the pixels of each class in the mask of each sample.

    Args:
        samples: Samples with masks.
        dataset: DataSection set that defines the values of masks.
        workers: Number of threads that read masks.
        progress: Progress, which counts masks.

    Returns:
        `(samples, classes)` int64.

    Raises:
        DataError: Masks cannot be read or contain ids of no class; the message lists all of them.

    Example:

    >>> class_pixels(dataset.labelled, dataset).sum(axis=0)   # doctest: +SKIP
    array([5400,  360])
    """
    errors = ErrorList()

    def count(sample: Sample) -> np.ndarray:
        try:
            mask = read_mask(sample.mask, dataset)
        except DataError as error:
            errors.add(error.message)
            return np.zeros(dataset.num_classes, np.int64)
        return np.bincount(mask.ravel(), minlength=dataset.num_classes)[: dataset.num_classes]

    counts = np.zeros((len(samples), dataset.num_classes), np.int64)
    with progress.task("masks", total=len(samples)) as task:
        for row, counted in enumerate(ordered_map(count, samples, workers=workers, ahead=4 * workers)):
            counts[row] = counted
            task.advance()
    errors.raise_if_any(
        "the classes in the masks cannot be counted:", hint="`usrn data check RECIPE` gives more details."
    )
    return counts


def validate_target(folder: Path, *, force: bool) -> None:
    """Check that a split can be written to a folder.

    Args:
        folder: Folder of the split.
        force: Whether an existing split may be replaced.

    Raises:
        StorageError: The folder exists without `force`, or contains other files than the lists of a split.
    """
    if not folder.exists():
        return
    known = {f"{part}.txt" for part in PARTS}
    foreign = sorted({path.name for path in folder.iterdir()} - known) if folder.is_dir() else [folder.name]
    if foreign:
        raise StorageError(
            f"{folder} exists and is not the folder of a split: it contains {', '.join(foreign[:5])}",
            hint="Choose another folder with --out.",
        )
    if not force:
        raise StorageError(
            f"{folder} exists already", hint="Choose another folder with --out, or replace it with --force."
        )


@contextmanager
def split_folder(folder: Path, lists: Lists, header: str) -> Iterator[Path]:
    """Write the lists to a temporary folder, which replaces `folder` if the block ends without an error.

    Args:
        folder: Folder of the lists; an existing folder is replaced.
        lists: Lists to write; empty lists of val and test are skipped.
        header: Comment for the first line of each list.

    Yields:
        The temporary folder.

    Raises:
        StorageError: The disk is full or the folder is not writable.
    """
    with staged_path(folder) as temporary:
        temporary.mkdir()
        _write(temporary, lists, header)
        yield temporary


def _write(folder: Path, lists: Lists, header: str) -> None:
    for part, names in asdict(lists).items():
        if names or part in ("labelled", "unlabelled"):
            lines = (f"# {header}", *names)
            (folder / f"{part}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@dataclass(frozen=True)
class SplitRequest:
    """Parameters of a random split.

    Args:
        labelled: Share of labelled images among the training images with masks, without those drawn for val.
        val: Share of val images among all training images with masks; None keeps the current val images.
        seed: Seed of the draw.
        cover_classes: Whether the labelled images must cover every class.
    """

    labelled: Share
    val: Share | None = None
    seed: int = 0
    cover_classes: bool = False


@dataclass(frozen=True, eq=False)
class SplitResult:
    """A split on disk.

    Args:
        folder: Folder of the lists.
        keys: Keys of `[data]` and their values for a recipe that uses the split.
        dataset: DataSection set with the split.
        pixels: Number of pixels of each class in all images with masks and in the labelled images,
            `(2, classes)`; None if the classes were not counted.
    """

    folder: Path
    keys: dict[str, str]
    dataset: Dataset
    pixels: np.ndarray | None

    @property
    def counts(self) -> dict[str, int]:
        """Number of images in each part."""
        return {part: len(getattr(self.dataset, part)) for part in PARTS}

    def to_json(self) -> dict[str, Any]:
        """Convert the split to plain values."""
        value = {
            "folder": str(self.folder),
            "keys": self.keys,
            "counts": self.counts,
            "fingerprint": self.dataset.fingerprint(),
        }
        if self.pixels is not None:
            rows = zip(self.dataset.classes, *self.pixels.tolist(), strict=True)
            value["pixels"] = [{"name": name, "all": every, "labelled": of} for name, every, of in rows]
        return value


def make_split(
    data: DataSection,
    request: SplitRequest,
    folder: Path | None = None,
    *,
    recipe: str = "",
    force: bool = False,
    progress: Progress = SILENT,
) -> SplitResult:
    """Draw the labelled images among the training images with masks, and write the lists to a folder.

    The training images are the labelled and unlabelled images of `data`. Its val and test images are kept.

    Args:
        data: Section `[data]` of a recipe.
        request: Parameters of the split.
        folder: Folder to write to; None for `splits/SHARE_seedN` in the folder of the data set.
        recipe: Name of the recipe, for the comment in the lists.
        force: Whether to replace an existing split in the folder.
        progress: Progress, which counts masks if classes must be covered.

    Raises:
        DataError: The data set or its masks cannot be used, or too few images have masks.
        StorageError: The folder exists, or is not writable.

    Example:

    >>> camvid = DataSection(dataset="camvid", root="data/camvid", split="1_8")
    >>> make_split(camvid, SplitRequest(Share("1/8"), seed=7)).keys              # doctest: +SKIP
    {'split': 'splits/1_8_seed7'}
    """
    dataset = _load_without_split(data)
    root = root_of(data)
    folder = (folder or root / "splits" / _default_name(request)).absolute()
    validate_target(folder, force=force)
    pool = drawable(dataset)
    pixels = None
    if request.cover_classes:
        pixels = class_pixels(pool, dataset, workers=data.workers, progress=progress)
    lists = draw_parts(dataset, request.labelled, request.val, seed=request.seed, pixels=pixels)
    header = _header(request, len(lists.labelled), len(pool), recipe)
    keys = _keys(data, request)
    with split_folder(folder, lists, header) as temporary:
        _check_read_back(temporary, lists)
        made = load_dataset(data.model_copy(update={**keys, "split": str(temporary)}))
    keys["split"] = _relative(folder, root.absolute())
    if pixels is not None:
        labelled = set(lists.labelled)
        is_labelled = [sample.name in labelled for sample in pool]
        pixels = np.stack([pixels.sum(axis=0), pixels[is_labelled].sum(axis=0)])
    return SplitResult(folder, keys, made, pixels)


def _load_without_split(data: DataSection) -> Dataset:
    """Load the data set and ignore missing lists, which the split provides."""
    errors, expected = ErrorList(), {*NEEDED.values(), no_split(data.dataset)}
    dataset = load_dataset(data, errors)
    other = ErrorList()
    for line in errors.lines:
        if line not in expected:
            other.add(line)
    other.raise_if_any(
        "the data set cannot be split:",
        hint="To draw from all of its training images, add --set data.split= (empty) and, if they are "
        f"set, --set data.labelled= --set data.unlabelled=\n{layout_help(data)}",
    )
    return dataset


def _check_read_back(folder: Path, lists: Lists) -> None:
    """Check that the lists contain all names: a list cannot have a name that starts with #, for example."""
    errors = ErrorList()
    for part, names in asdict(lists).items():
        read = read_list(folder / f"{part}.txt", ErrorList()) if names else ()
        for name in sorted(set(names).difference(read)):
            errors.add(f"{part}: `{name}`")
    errors.raise_if_any("a list cannot contain these names:", hint="Rename these images and their masks.")


def _default_name(request: SplitRequest) -> str:
    val = f"_val_{request.val.text}" if request.val else ""
    name = f"{request.labelled.text}{val}_seed{request.seed}" + "_covering" * request.cover_classes
    return name.replace("/", "_")


def _header(request: SplitRequest, labelled: int, images: int, recipe: str) -> str:
    facts = [
        f"drawn by usrn split: seed {request.seed}",
        f"labelled {request.labelled.text} ({labelled} of {images} images with masks)",
        f"val {request.val.text}" if request.val else "",
        "every class covered" if request.cover_classes else "",
        f"recipe {recipe}" if recipe else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def _keys(data: DataSection, request: SplitRequest) -> dict[str, str]:
    """Keys that a recipe must change except for the folder: the lists that the split replaces."""
    replaced = ["labelled", "unlabelled", *(["val"] if request.val else [])]
    return {"split": "", **{key: "" for key in replaced if getattr(data, key)}}


def _relative(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
