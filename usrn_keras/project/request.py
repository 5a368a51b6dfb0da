"""What a person asks for when a project is made, checked as far as it can be before any file is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from usrn_keras.data.files.colours import pack
from usrn_keras.data.splitting.share import Share
from usrn_keras.project.held_out import HeldOut, held_out
from usrn_keras.project.listing import absolute
from usrn_keras.project.names import Named, read_names
from usrn_keras.project.naming import Pattern

PATTERNS = ("image_pattern", "mask_pattern")


@dataclass(frozen=True)
class Request:
    """The options of `usrn init` as they are typed; empty text: not given.

    Args:
        images, masks: Folders; may be the same.
        val, test: A folder, or a share of the images with masks.
        val_masks, test_masks: Folder of the masks where val and test are folders apart.
        names: File of class names.
        labelled: Share of the training images with masks that stay labelled.
        ignore: Mask values, or colours `RED,GREEN,BLUE`, without a class.
        image_pattern, mask_pattern: Such as `{name}_mask`, where the names alone do not tell.
        seed: Of all draws.
        gpu: Whether for an NVIDIA GPU; None: where there is one.
    """

    images: Path
    masks: Path
    val: str = ""
    val_masks: str = ""
    test: str = ""
    test_masks: str = ""
    names: str = ""
    labelled: str = ""
    ignore: tuple[str, ...] = ()
    image_pattern: str = ""
    mask_pattern: str = ""
    seed: int = 0
    gpu: bool | None = None


@dataclass(frozen=True)
class Plan:
    """What a `Request` means."""

    images: Path
    masks: Path
    held_out: tuple[HeldOut, ...] = ()
    names: tuple[Named, ...] = ()
    labelled: Share | None = None
    ignore: tuple[Named, ...] = ()
    patterns: dict[str, Pattern | None] = field(default_factory=dict)


def check_request(request: Request, faults: list[str]) -> Plan:
    """Read the options; what is wrong with them is added to `faults`."""
    folders = {
        "images": absolute(request.images),
        "masks": absolute(request.masks),
    }
    for option, folder in folders.items():
        if not folder.is_dir():
            faults.append(f"--{option} {folder}: no such folder")
    parts = [
        held_out(part, getattr(request, part), getattr(request, f"{part}_masks"), **folders, faults=faults)
        for part in ("val", "test")
    ]
    held_out_folders = [
        (part.inside or part.images).resolve() for part in parts if part and part.share is None
    ]
    if len(set(held_out_folders)) < len(held_out_folders):
        faults.append(f"--val and --test are the same folder, {held_out_folders[0]}")
    return Plan(
        **folders,
        held_out=tuple(part for part in parts if part),
        names=tuple(read_names(absolute(request.names), faults) if request.names else ()),
        labelled=_share(request.labelled, faults),
        ignore=tuple(value for text in request.ignore if (value := _ignored(text, faults))),
        patterns={key: _pattern(key, getattr(request, key), faults) for key in PATTERNS},
    )


def _share(text: str, faults: list[str]) -> Share | None:
    try:
        return Share(text) if text else None
    except ValueError as error:
        faults.append(f"--labelled: {error}")
    return None


def _ignored(text: str, faults: list[str]) -> Named | None:
    parts = text.replace(",", " ").split()
    if len(parts) in (1, 3) and all(part.isascii() and part.isdigit() for part in parts):
        numbers = [int(part) for part in parts]
        if len(numbers) == 1 and numbers[0] <= 65535:
            return Named("", numbers[0])
        if len(numbers) == 3 and max(numbers) <= 255:
            return Named("", int(pack(np.array(numbers, np.uint8))), coloured=True)
    faults.append(f"--ignore {text}: must be a mask value, such as 255, or a colour RED,GREEN,BLUE")
    return None


def _pattern(key: str, text: str, faults: list[str]) -> Pattern | None:
    pattern = Pattern.parse(text) if text else None
    if text and (pattern is None or "/" in text):
        option = key.replace("_", "-")
        faults.append(f"--{option} {text}: must hold {{name}} once and no folder, such as {{name}}_mask")
    return pattern
