"""Write the aerial scenes as a folder data set, atomically."""

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

from usrn_keras.data.quickstart.aerial_scene import AerialScene, draw_scene
from usrn_keras.data.quickstart.looks import CLASSES, MAX_MODES, PALETTE
from usrn_keras.errors import DataError, StorageError

VERSION = 4  # version of the scenes, increased with every change of a pixel
MARKER = "quickstart.json"
JPEG_QUALITY = 90
SMALLEST = 32  # least side in pixels; in smaller images cars vanish
LEAST_IMBALANCE = 20  # with more objects, there would be no room for all of them


def make_quickstart(
    root: str | os.PathLike,
    *,
    seed: int = 0,
    labelled: int = 12,
    unlabelled: int = 200,
    val: int = 60,
    test: int = 60,
    size: tuple[int, int] = (128, 192),
    modes: int = 4,
    imbalance: float = 40.0,
) -> Path:
    """Write the aerial scenes to a folder, unless it contains them already.

    The folder is an ordinary folder data set::

        images/*.jpg   masks/*.png (labelled, val, test)   masks_unlabelled/*.png (for an Oracle)
        classes.txt    palette.txt   lists/{labelled,unlabelled,val,test}.txt

    Images of all parts are drawn alike. The same arguments give the same scenes; a larger count includes the
    scenes of a smaller one. The first labelled, val and test image contain every class. The folder appears
    when it is complete, so several processes may call the function at the same time, and an interrupted call
    leaves no files. (A killed process leaves a hidden folder next to `root`, which may be deleted.)

    Args:
        root: Folder to write.
        seed: Seed of the scenes.
        labelled, unlabelled, val, test: Number of images of each part.
        size: Height and width of the images in pixels, at least 32 each.
        modes: Number of looks of each class, 1 to 4. Each object, field, river and road has one of them with
            equal probability: with 1, a class has no structure within itself.
        imbalance: Ratio of the pixels of the largest class to those of the smallest, at least 20. The four
            rare classes get 1, 1.25, 1.5 and 1.75 times the pixels of the smallest. It is an expected value:
            a few scenes differ from it.

    Returns:
        The absolute path of the folder.

    Raises:
        DataError: An argument is out of range, or the folder contains other files.
        StorageError: The disk is full or not writable.

    Example:

    >>> from usrn_keras.data.quickstart.aerial_images import make_quickstart
    >>> root = make_quickstart("data/quickstart", unlabelled=20, val=6)
    >>> (root / "classes.txt").read_text().split()[:3]
    ['field', 'tree', 'water']
    """
    root = Path(root).absolute()
    parameters = _parameters(
        {"labelled": labelled, "unlabelled": unlabelled, "val": val, "test": test},
        {"seed": seed, "size": list(size), "modes": modes, "imbalance": imbalance},
    )
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


def _parameters(counts: dict, options: dict) -> dict:
    """Validate the arguments and convert them to the content of the marker file."""
    errors = [f"`{name}` must be at least 1, received {count}" for name, count in counts.items() if count < 1]
    seed, size, modes, imbalance = options.values()
    if seed < 0:
        errors.append(f"`seed` must be at least 0, received {seed}")
    if len(size) != 2 or min(size) < SMALLEST:
        errors.append(f"`size` must be (height, width), each at least {SMALLEST}, received {tuple(size)}")
    if not 1 <= modes <= MAX_MODES:
        errors.append(f"`modes` must be between 1 and {MAX_MODES}, received {modes}")
    if not imbalance >= LEAST_IMBALANCE:
        errors.append(f"`imbalance` must be at least {LEAST_IMBALANCE}, received {imbalance}")
    if errors:
        raise DataError("the quickstart scenes cannot be drawn", errors=errors)
    return {"version": VERSION, **counts, **options}


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
            _write_scene(root, masks, name, _draw(key, parameters))
    (root / MARKER).write_text(json.dumps(parameters, indent=1) + "\n")


_SPLITS = {"labelled": "masks", "unlabelled": "masks_unlabelled", "val": "masks", "test": "masks"}
_STREAMS = {"train": 0, "val": 1, "test": 2}


def _names(parameters: dict, split: str) -> list[tuple[str, tuple[int, ...]]]:
    """Name and random key of each scene of a split; the numbers of unlabelled scenes follow the labelled."""
    first = parameters["labelled"] if split == "unlabelled" else 0
    stem = split if split in _STREAMS else "train"
    numbers = range(first, first + parameters[split])
    return [(f"{stem}_{number:04d}", (parameters["seed"], _STREAMS[stem], number)) for number in numbers]


def _draw(key: tuple[int, ...], parameters: dict) -> AerialScene:
    """Draw the scene of a key; number 0 until it contains every class."""
    size, complete, attempt = tuple(parameters["size"]), key[-1] == 0, 0
    options = {"modes": parameters["modes"], "imbalance": parameters["imbalance"], "complete": complete}
    while True:
        scene = draw_scene(np.random.default_rng([*key, attempt]), size, **options)
        pixels = np.bincount(scene.mask.ravel(), minlength=len(CLASSES))
        if not complete or np.all(pixels >= scene.mask.size // 2000):
            return scene
        attempt += 1


def _write_scene(root: Path, masks: str, name: str, scene: AerialScene) -> None:
    image = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    (root / "images" / f"{name}.jpg").write_bytes(encoded.tobytes())
    picture = Image.fromarray(scene.mask)
    picture.putpalette(PALETTE.tobytes())
    png = io.BytesIO()
    picture.save(png, "PNG")
    (root / masks / f"{name}.png").write_bytes(png.getvalue())
