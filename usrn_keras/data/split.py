"""`usrn split`: draw a split of a data set, write it as a folder, whole or not at all, and read it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data.catalog import layout_help, load_dataset, root_of
from usrn_keras.data.dataset import PARTS, Dataset, Faults, Sample
from usrn_keras.data.formats.assemble import NEEDED
from usrn_keras.data.formats.lists import Lists, no_split, read_list
from usrn_keras.data.masks import read_mask
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.data.random_split import Share, draw_parts, drawable
from usrn_keras.errors import DataError, StorageError
from usrn_keras.files import staged_path
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe.schema import DataSection


def class_pixels(
    samples: Sequence[Sample], dataset: Dataset, *, workers: int = 0, progress: Progress = SILENT
) -> np.ndarray:
    """Count the pixels of each class in the mask of each sample, `(samples, classes)` int64.

    Raises:
        DataError: masks cannot be read or hold ids of no class; every one is named.

    Example:

    >>> class_pixels(dataset.labelled, dataset).sum(axis=0)   # doctest: +SKIP
    array([5400,  360])
    """
    faults = Faults()

    def count(sample: Sample) -> np.ndarray:
        try:
            mask = read_mask(sample.mask, dataset)
        except DataError as error:
            faults.add(error.message)
            return np.zeros(dataset.num_classes, np.int64)
        return np.bincount(mask.ravel(), minlength=dataset.num_classes)[: dataset.num_classes]

    counts = np.zeros((len(samples), dataset.num_classes), np.int64)
    with progress.task("masks", total=len(samples)) as task:
        for row, counted in enumerate(ordered_map(count, samples, workers=workers, ahead=4 * workers)):
            counts[row] = counted
            task.advance()
    faults.raise_if_any(
        "the classes in the masks cannot be counted:", hint="`usrn data check RECIPE` says more."
    )
    return counts


def refuse_existing(folder: Path, *, force: bool) -> None:
    """Refuse a folder that exists, unless it is a split that may be replaced.

    Raises:
        StorageError: it exists and `force` is not given, or it holds anything but lists of a split.
    """
    if not folder.exists():
        return
    known = {f"{part}.txt" for part in PARTS}
    foreign = sorted({path.name for path in folder.iterdir()} - known) if folder.is_dir() else [folder.name]
    if foreign:
        raise StorageError(
            f"{folder} exists and is no folder of a split: it holds {', '.join(foreign[:5])}",
            hint="Choose another folder with --out.",
        )
    if not force:
        raise StorageError(
            f"{folder} exists already", hint="Choose another with --out, or replace it with --force."
        )


@contextmanager
def split_folder(folder: Path, lists: Lists, header: str) -> Iterator[Path]:
    """Write the lists to a temporary folder, which takes the place of `folder` when the block ends well.

    Args:
        folder: Where the lists will be; what is there is replaced.
        lists: Empty lists of val and test are left out.
        header: A comment for the first line of each list.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
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
class Wish:
    """What to draw.

    Args:
        labelled: Of the training images with masks, without those drawn for val.
        val: Of all training images with masks; None leaves the val images as they are.
        seed: Of the draw.
        cover_classes: Whether the labelled images must show every class.
    """

    labelled: Share
    val: Share | None = None
    seed: int = 0
    cover_classes: bool = False


@dataclass(frozen=True, eq=False)
class MadeSplit:
    """A split on disk.

    Args:
        folder: Its lists.
        keys: Keys of `[data]` and their values that make a recipe use it.
        dataset: The data set with this split.
        pixels: `(2, classes)` pixels of each class in all images that were drawn from, and in the labelled
            ones; None unless the classes were counted.
    """

    folder: Path
    keys: dict[str, str]
    dataset: Dataset
    pixels: np.ndarray | None

    @property
    def counts(self) -> dict[str, int]:
        """Images in each part."""
        return {part: len(getattr(self.dataset, part)) for part in PARTS}

    def to_json(self) -> dict[str, Any]:
        """The split as plain values."""
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
    wish: Wish,
    folder: Path | None = None,
    *,
    recipe: str = "",
    force: bool = False,
    progress: Progress = SILENT,
) -> MadeSplit:
    """Draw which training images with masks are labelled, and write the lists to a folder.

    The images are those that `data` has as labelled and unlabelled now; its val and test images stay.

    Args:
        data: The data set.
        wish: What to draw.
        folder: Where to; None: `splits/SHARE_seedN` in the folder of the data set.
        recipe: Its name, for the comment in the lists.
        force: Replace an earlier split in that folder.
        progress: Counts masks, where classes are to be covered.

    Raises:
        DataError: the data set or its masks cannot be used, or too few images have masks.
        StorageError: the folder exists, or cannot be written.

    Example:

    >>> camvid = DataSection(dataset="camvid", root="data/camvid", split="1_8")
    >>> make_split(camvid, Wish(Share("1/8"), seed=7)).keys              # doctest: +SKIP
    {'split': 'splits/1_8_seed7'}
    """
    dataset = _loaded(data)
    root = root_of(data)
    folder = (folder or root / "splits" / _default_name(wish)).absolute()
    refuse_existing(folder, force=force)
    pool = drawable(dataset)
    pixels = (
        class_pixels(pool, dataset, workers=data.workers, progress=progress) if wish.cover_classes else None
    )
    lists = draw_parts(dataset, wish.labelled, wish.val, seed=wish.seed, pixels=pixels)
    header = _header(wish, len(lists.labelled), len(pool), recipe)
    keys = _keys(data, wish)
    with split_folder(folder, lists, header) as temporary:
        _check_read_back(temporary, lists)
        made = load_dataset(data.model_copy(update={**keys, "split": str(temporary)}))
    keys["split"] = _relative(folder, root.absolute())
    labelled = set(lists.labelled)
    return MadeSplit(folder, keys, made, _both(pixels, [sample.name in labelled for sample in pool]))


def _loaded(data: DataSection) -> Dataset:
    """The data set, which may lack what a split is to give it."""
    faults, wanted = Faults(), {*NEEDED.values(), no_split(data.dataset)}
    dataset = load_dataset(data, faults)
    other = Faults()
    for line in faults.lines:
        if line not in wanted:
            other.add(line)
    other.raise_if_any(
        "the data set cannot be split as it is:",
        hint="To draw from all of its training images, add --set data.split= (empty) and, where they are "
        f"set, --set data.labelled= --set data.unlabelled=\n{layout_help(data)}",
    )
    return dataset


def _check_read_back(folder: Path, lists: Lists) -> None:
    """A list cannot hold every file name: one that begins with #, or ends with two suffixes of images."""
    faults = Faults()
    for part, names in asdict(lists).items():
        read = read_list(folder / f"{part}.txt", Faults()) if names else ()
        for name in sorted(set(names).difference(read)):
            faults.add(f"{part}: `{name}`")
    faults.raise_if_any("names that a list cannot hold:", hint="Rename these images and their masks.")


def _default_name(wish: Wish) -> str:
    val = f"_val_{wish.val.text}" if wish.val else ""
    name = f"{wish.labelled.text}{val}_seed{wish.seed}" + "_covering" * wish.cover_classes
    return name.replace("/", "_")


def _header(wish: Wish, labelled: int, images: int, recipe: str) -> str:
    facts = [
        f"drawn by usrn split: seed {wish.seed}",
        f"labelled {wish.labelled.text} ({labelled} of {images} images with masks)",
        f"val {wish.val.text}" if wish.val else "",
        "every class covered" if wish.cover_classes else "",
        f"recipe {recipe}" if recipe else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def _keys(data: DataSection, wish: Wish) -> dict[str, str]:
    """The keys that a recipe must change, all but the folder: lists that the split takes the place of."""
    replaced = ["labelled", "unlabelled", *(["val"] if wish.val else [])]
    return {"split": "", **{key: "" for key in replaced if getattr(data, key)}}


def _relative(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)


def _both(pixels: np.ndarray | None, labelled: list[bool]) -> np.ndarray | None:
    return None if pixels is None else np.stack([pixels.sum(axis=0), pixels[labelled].sum(axis=0)])
