"""A sheet of sample patches for each subclass of one class, to see what the clustering found."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from usrn_keras.data import Sample, as_rgb, read_sample_image, read_sublabels
from usrn_keras.progress import SILENT, Progress
from usrn_keras.report.figure import fitting_text, font
from usrn_keras.report.pictures import faded, png_bytes
from usrn_keras.subclasses import SubclassMap

ROWS = 12  # subclasses shown at most
COLUMNS = 8  # patches of each
CELL = 128  # height and width of a patch on the sheet
GAP = 4
NAME_WIDTH = 132
TITLE_HEIGHT = 30
FONT_SIZE = 14
OUTLINE = (255, 60, 0)
FADED = 110, 0.5  # brightness and contrast of pixels that are not of the subclass
VIEW = 3  # the short side of an image has this many patches


def montage_png(
    samples: Sequence[Sample],
    subclasses: SubclassMap,
    class_id: int,
    *,
    seed: int = 0,
    progress: Progress = SILENT,
) -> bytes:
    """Draw a row of patches for each subclass of a class, its pixels in colour and outlined, as a PNG file.

    Every patch is centred on a dense pixel of the subclass. Patches come from different images as long as
    there are any, images with more of the subclass being more likely. There are fewer than `COLUMNS` patches
    if the images have no room for more. Of more than `ROWS` subclasses, `ROWS` are shown, evenly chosen.

    Args:
        samples: Labelled images with their sublabel maps.
        subclasses: Subclasses of the run.
        class_id: Id of the class, which has at least one subclass.
        seed: Seed of the choice of patches.
        progress: Progress bar, counts images.
    """
    own = np.arange(subclasses.total)[subclasses.of_class(class_id)]
    shown = own[np.unique(np.linspace(0, len(own) - 1, min(ROWS, len(own))).round().astype(int))]
    wanted = _choose_images(_counts(samples, own, progress)[:, shown - own[0]], seed)
    patches = _cut(samples, shown, wanted, seed, progress)
    title = f"{subclasses.classes[class_id]}: "
    title += f"{len(own)} subclasses" if len(shown) == len(own) else f"{len(shown)} of {len(own)} subclasses"
    title += ", evenly chosen" if len(shown) < len(own) else ""
    names = [(subclasses.names[k], f"{subclasses.sizes[k]:,} px") for k in shown]
    return _sheet(title + "; in colour and outlined: pixels of the subclass", names, patches)


def cut_patch(image: np.ndarray, inside: np.ndarray, centre: tuple[int, int], side: int) -> np.ndarray:
    """Cut a square around a pixel, `(CELL, CELL, 3)` uint8; pixels that are not `inside` are grey and faded.

    Args:
        image: (height, width, 3) uint8.
        inside: (height, width) bool, the pixels of the subclass.
        centre: Row and column of the pixel; the square is shifted to stay inside the image.
        side: Height and width of the square, at most those of the image.
    """
    starts = [min(max(0, at - side // 2), n - side) for at, n in zip(centre, inside.shape, strict=True)]
    window = tuple(slice(start, start + side) for start in starts)
    crop = cv2.resize(image[window], (CELL, CELL), interpolation=cv2.INTER_LINEAR)
    mask = cv2.resize(inside[window].astype(np.uint8), (CELL, CELL), interpolation=cv2.INTER_NEAREST)
    grey = faded(crop, *FADED)
    around = cv2.dilate(mask, np.ones((3, 3), np.uint8))  # a line over thin objects would hide them
    patch = np.where(mask[..., None], crop, np.where(around[..., None], np.uint8(OUTLINE), grey))
    return np.ascontiguousarray(patch)


def _counts(samples: Sequence[Sample], own: np.ndarray, progress: Progress) -> np.ndarray:
    """(images, subclasses of the class) pixels."""
    counts = np.zeros((len(samples), len(own)), np.int64)
    with progress.task("montage", total=len(samples)) as task:
        for i, sample in enumerate(samples):
            found = read_sublabels(sample.sublabels) - own[0]
            counts[i] = np.bincount(found[(found >= 0) & (found < len(own))], minlength=len(own))
            task.advance()
    return counts


def _choose_images(counts: np.ndarray, seed: int) -> list[list[int]]:
    """For each subclass the images of its patches: different ones first, then the same again."""
    rng = np.random.default_rng(seed)
    chosen = []
    for pixels in counts.T:
        having = np.flatnonzero(pixels)
        if len(having) == 0:  # the subclass has no pixel at label resolution
            chosen.append([])
            continue
        share = pixels[having] / pixels[having].sum()
        different = rng.choice(having, min(COLUMNS, len(having)), replace=False, p=share)
        chosen.append(np.resize(different, COLUMNS).tolist())
    return chosen


def _cut(
    samples: Sequence[Sample], shown: np.ndarray, wanted: list[list[int]], seed: int, progress: Progress
) -> list[list[np.ndarray]]:
    """The patches of each row. Every image is read once."""
    patches: list[list[np.ndarray]] = [[] for _ in shown]
    used = sorted({i for images in wanted for i in images})
    for i in used:
        image = as_rgb(read_sample_image(samples[i]), samples[i].bands)
        sublabels = read_sublabels(samples[i].sublabels)
        side = -(-min(image.shape[:2]) // VIEW)
        for row, images in enumerate(wanted):
            inside = sublabels == shown[row]
            rng = np.random.default_rng([seed, i, row])
            for centre in dense_pixels(inside, images.count(i), rng, side // 6):
                patches[row].append(cut_patch(image, inside, centre, side))
    return patches


def dense_pixels(inside: np.ndarray, n: int, rng: np.random.Generator, window: int) -> list[tuple[int, int]]:
    """Draw up to `n` pixels of a region at a distance from each other, where the region is dense.

    Args:
        inside: (height, width) bool, the region.
        n: Number of pixels; fewer are returned if the region has no room for them.
        rng: Random number generator.
        window: Height and width in pixels of the neighbourhood that density is measured in, and the least
            distance of two pixels.
    """
    around = cv2.boxFilter(inside.astype(np.float32), -1, (window, window), borderType=cv2.BORDER_CONSTANT)
    left = np.where(inside, around, 0.0)
    chosen = []
    while len(chosen) < n and left.any():
        rows, columns = np.nonzero(left >= left.max() / 2)
        pick = rng.integers(len(rows))
        row, column = int(rows[pick]), int(columns[pick])
        chosen.append((row, column))
        left[max(0, row - window) : row + window + 1, max(0, column - window) : column + window + 1] = 0
    return chosen


def _sheet(title: str, names: Sequence[tuple[str, str]], patches: Sequence[Sequence[np.ndarray]]) -> bytes:
    height, width = TITLE_HEIGHT + len(names) * (CELL + GAP), NAME_WIDTH + COLUMNS * (CELL + GAP)
    sheet = Image.new("RGB", (width, height), "white")
    pen, letters = ImageDraw.Draw(sheet), font(FONT_SIZE)
    pen.text((GAP, GAP), fitting_text(title, FONT_SIZE, width - 2 * GAP), fill="black", font=letters)
    for row, ((name, size), cells) in enumerate(zip(names, patches, strict=True)):
        top = TITLE_HEIGHT + row * (CELL + GAP)
        class_name, _, number = name.rpartition("/")
        name = fitting_text(class_name, FONT_SIZE, NAME_WIDTH - 2 * GAP, end=f"/{number}")
        pen.text((GAP, top + CELL // 2 - FONT_SIZE), f"{name}\n{size}", fill="black", font=letters)
        for column, cell in enumerate(cells):
            sheet.paste(Image.fromarray(cell), (NAME_WIDTH + column * (CELL + GAP), top))
    return png_bytes(sheet)
