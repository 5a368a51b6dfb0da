"""What a page is made of: pictures, sentences of a verdict, shaded cells, images of a gallery."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True)
class Picture:
    """A picture or a chart.

    SVG is embedded as an image, too: its names cannot clash with those of other figures, and it runs no
    script.

    Args:
        content: A PNG, JPEG or SVG file.
        alt: Description of the picture for readers who do not see it.
        caption: Text below the picture, how to read it.

    Raises:
        ValueError: `content` is neither PNG, JPEG nor SVG, or `alt` is empty.
    """

    content: bytes
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("a figure must have an `alt` text that says what it shows")
        if not self._type:
            raise ValueError(f"a figure must be a PNG, JPEG or SVG file, received {self.content[:8]!r}...")

    @property
    def url(self) -> str:
        """The whole file as a data URL."""
        return f"data:image/{self._type};base64,{base64.b64encode(self.content).decode('ascii')}"

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels of a PNG file, so that the page keeps its place; None for others."""
        if self._type != "png":
            return None
        width, height = (int.from_bytes(self.content[at : at + 4], "big") for at in (16, 20))
        return width, height

    @property
    def is_drawing(self) -> bool:
        """Whether it may be enlarged without a loss."""
        return self._type == "svg+xml"

    @property
    def _type(self) -> str:
        if self.content.startswith(PNG):
            return "png"
        if self.content.startswith(JPEG):
            return "jpeg"
        return "svg+xml" if self.content.lstrip().startswith((b"<svg", b"<?xml")) else ""


@dataclass(frozen=True)
class Point:
    """A sentence of the verdict, and the command that follows from it; may be empty."""

    text: str
    command: str = ""


@dataclass(frozen=True)
class ShadedCell:
    """A cell of a shaded table.

    Args:
        text: Text of the cell.
        colour: Darkest shade: red, green and blue in 0..255, on which white text can be read.
        depth: Share of that shade in the background in 0..1; the rest is the background of the page.
    """

    text: str
    colour: tuple[int, int, int] = (0, 0, 0)
    depth: float = 0.0

    def background(self, ground: tuple[int, int, int]) -> tuple[int, int, int]:
        """The background of the cell on a page with this one, as the browser mixes it."""
        mixed = np.array(ground) + self.depth * (np.array(self.colour) - ground)
        return tuple(mixed.round().astype(int).tolist())

    @property
    def ink(self) -> str:
        """The colour of the text on a white page: black or white, whichever has the higher contrast.

        Contrast is at least 4.5 (WCAG AA). On a dark page, white text can be read on every shade.
        """
        return "#000" if luminance(self.background((255, 255, 255))) > 0.179 else "#fff"


@dataclass(frozen=True)
class Shot:
    """An image of a gallery.

    Args:
        title: Name of the image.
        score: Its scores in words.
        first: Pictures that are always shown, small until the reader enlarges them.
        more: Pictures that are shown enlarged only.
        places: Place of the image in each order, by name of the order.
    """

    title: str
    score: str
    first: Sequence[Picture]
    more: Sequence[Picture]
    places: dict[str, int] = field(default_factory=dict)


def luminance(colour: tuple[int, int, int]) -> float:
    """Relative luminance in 0..1, as WCAG defines it."""
    parts = np.array(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
