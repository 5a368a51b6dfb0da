"""`usrn data check`, files to check, and what was found in them."""

from __future__ import annotations

import itertools

import numpy as np
from click.testing import CliRunner
from PIL import Image

from usrn_cli.main import main

ORIENTATION = 0x0112


def data(*args: object):
    return CliRunner().invoke(main, ["data", *map(str, args)])


def check(recipe_file, *overrides: str, options=("--quiet",)):
    return data("check", recipe_file, *options, *(part for text in overrides for part in ("--set", text)))


def image(path, seed: int = 99, size=(40, 48), **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def mask(path, values) -> None:
    Image.fromarray(np.broadcast_to(np.asarray(values, np.uint8), (40, 48)).copy()).save(path)


def found(result, kind: str, *parts: str, error: bool = True) -> str:
    """The paragraph of a kind holds all parts; the exit code is that of its severity."""
    assert result.exit_code == (4 if error else 0), result.output
    assert "Traceback" not in result.stderr
    lines = result.stdout.splitlines()
    start = next((i for i, line in enumerate(lines) if kind in line), None)
    assert start is not None, result.stdout
    assert lines[start].startswith("error: " if error else "note: ")
    indented = itertools.takewhile(lambda i: lines[i].startswith("  "), range(start + 1, len(lines)))
    end = max(indented, default=start) + 1
    paragraph = "\n".join(lines[start:end])
    for part in parts:
        assert part in paragraph, paragraph
    return paragraph


def turned(path, orientation: int, size) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image(path, size=size, exif=exif)
