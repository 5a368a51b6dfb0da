"""Write the street scenes as a folder data set, atomically."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from usrn_keras.data.quickstart.canvas import CLASSES, PALETTE
from usrn_keras.data.quickstart.scene import draw_scene
from usrn_keras.errors import DataError, StorageError

VERSION = 3  # version of the scenes, increased with every change of a pixel
MARKER = "quickstart.json"
SMALLEST = 32  # least side in pixels; in smaller images poles and signs vanish


def make_quickstart(
    root: str | os.PathLike,
    *,
    seed: int = 0,
    labelled: int = 12,
    unlabelled: int = 200,
    val: int = 60,
    size: tuple[int, int] = (128, 192),
) -> Path:
    """Write the street scenes to a folder, unless it contains them already.

    The folder is an ordinary folder data set::

        images/*.jpg   masks/*.png (labelled and val)   masks_unlabelled/*.png (for an Oracle and diagnosis)
        classes.txt    palette.txt                      lists/{labelled,unlabelled,val}.txt

    The same arguments give the same scenes; a larger count includes the scenes of a smaller one. The first
    labelled and the first val image contain every class. The folder appears when it is complete, so several
    processes may call the function at the same time, and an interrupted call leaves no files. (A killed
    process leaves a hidden folder next to `root`, which may be deleted.)

    Args:
        root: Folder to write.
        seed: Seed of the scenes.
        labelled, unlabelled, val: Number of images of each part.
        size: Height and width of the images in pixels, at least 32 each.

    Returns:
        The absolute path of the folder.

    Raises:
        DataError: An argument is out of range, or the folder contains other files.
        StorageError: The disk is full or not writable.

    Example:

    >>> from usrn_keras.data.quickstart.street_scenes import make_quickstart
    >>> root = make_quickstart("data/quickstart", unlabelled=20, val=6)
    >>> (root / "classes.txt").read_text().split()[:3]
    ['sky', 'road', 'building']
    """
    root = Path(root).absolute()
    parameters = _parameters(seed=seed, labelled=labelled, unlabelled=unlabelled, val=val, size=size)
    if _is_complete(root, parameters):
        return root
    building = root.with_name(f".{root.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        building.mkdir(parents=True)
        _write(building, parameters)
        _publish(building, root, parameters)
    except OSError as error:
        raise StorageError(
            f"the quickstart scenes cannot be written to {root}: {error}",
            hint="Free disk space (they need about 5 MB) or choose another folder with `data.root`.",
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return root


def _parameters(*, seed, labelled, unlabelled, val, size) -> dict:
    """Validate the arguments and convert them to the content of the marker file."""
    counts = {"labelled": labelled, "unlabelled": unlabelled, "val": val}
    errors = [f"`{name}` must be at least 1, received {count}" for name, count in counts.items() if count < 1]
    if seed < 0:
        errors.append(f"`seed` must be at least 0, received {seed}")
    if len(size) != 2 or min(size) < SMALLEST:
        errors.append(f"`size` must be (height, width), each at least {SMALLEST}, received {tuple(size)}")
    if errors:
        raise DataError("the quickstart scenes cannot be drawn", errors=errors)
    return {"version": VERSION, "seed": seed, **counts, "size": list(size)}


def _is_complete(root: Path, parameters: dict) -> bool:
    """Whether the folder contains these scenes; raises if it contains anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    hint = "Delete it to generate the scenes again, or choose another folder with `data.root`."
    try:
        found = json.loads((root / MARKER).read_text())
    except (OSError, ValueError):
        raise DataError(
            f"{root} is not empty and contains no quickstart scenes ({MARKER} is missing)", hint=hint
        ) from None
    errors = [
        f"`{key}`: the folder has {found.get(key)}, required is {wanted}"
        for key, wanted in parameters.items()
        if found.get(key) != wanted
    ]
    if errors:
        raise DataError(f"{root} contains other quickstart scenes", errors=errors, hint=hint)
    return True


def _publish(building: Path, root: Path, parameters: dict) -> None:
    """Rename the complete folder; another process may have written the same scenes before."""
    try:
        building.rename(root)
    except OSError:
        if not _is_complete(root, parameters):
            raise


def _write(root: Path, parameters: dict) -> None:
    for folder in ("images", "masks", "masks_unlabelled", "lists"):
        (root / folder).mkdir()
    lines = {
        "classes.txt": CLASSES,
        "palette.txt": [" ".join(map(str, colour)) for colour in PALETTE.tolist()],
        **{f"lists/{split}.txt": [name for name, _ in _names(parameters, split)] for split in _SPLITS},
    }
    for path, content in lines.items():
        (root / path).write_text("".join(f"{line}\n" for line in content))
    for split, masks in _SPLITS.items():
        for name, key in _names(parameters, split):
            _write_scene(root, masks, name, key, tuple(parameters["size"]), complete=key[-1] == 0)
    (root / MARKER).write_text(json.dumps(parameters, indent=1) + "\n")


_SPLITS = {"labelled": "masks", "unlabelled": "masks_unlabelled", "val": "masks"}


def _names(parameters: dict, split: str) -> list[tuple[str, tuple[int, ...]]]:
    """Name and random key of each scene of a split; the numbers of unlabelled scenes follow the labelled."""
    first = parameters["labelled"] if split == "unlabelled" else 0
    stem, stream = ("val", 1) if split == "val" else ("train", 0)
    numbers = range(first, first + parameters[split])
    return [(f"{stem}_{number:04d}", (parameters["seed"], stream, number)) for number in numbers]


def _write_scene(
    root: Path, masks: str, name: str, key: tuple, size: tuple[int, int], complete: bool
) -> None:
    quality, image, mask = _draw(key, size, complete)
    encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]
    (root / "images" / f"{name}.jpg").write_bytes(encoded.tobytes())
    picture = Image.fromarray(mask)
    picture.putpalette(PALETTE.tobytes())
    png = io.BytesIO()
    picture.save(png, "PNG")
    (root / masks / f"{name}.png").write_bytes(png.getvalue())


def _draw(key: tuple, size: tuple[int, int], complete: bool) -> tuple[int, np.ndarray, np.ndarray]:
    """Draw the JPEG quality, image and mask of a scene, with `complete` until it contains every class."""
    attempt = 0
    while True:
        rng = np.random.default_rng([*key, attempt])
        quality = int(rng.integers(72, 93))
        image, mask = draw_scene(rng, size)
        if not complete or np.all(np.bincount(mask.ravel(), minlength=len(CLASSES)) >= mask.size // 2000):
            return quality, image, mask
        attempt += 1
