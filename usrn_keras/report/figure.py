"""Drawing with matplotlib, independent of the user's matplotlibrc and backend."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageFont

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = {
    "text.usetex": False,
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "svg.fonttype": "path",  # letters look the same on a phone that lacks the font
    "svg.hashsalt": "usrn_keras",  # the same figure is the same file
}


@functools.cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Load DejaVu Sans from matplotlib; Pillow's default font lacks ß, Greek and Cyrillic."""
    import matplotlib

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def fitting_text(text: str, size: int, width: int, *, end: str = "") -> str:
    """Shorten a text until it fits into a width.

    Args:
        text: One line of text.
        size: Size of its letters.
        width: Width in pixels.
        end: End of the line, which is never shortened.

    Example:

    >>> fitting_text("Verkehrsschild", 14, 100, end="/12")
    'Verkehrs…/12'
    """
    shown = text
    while len(shown) > 1 and font(size).getlength(shown + end) > width:
        shown = f"{shown[:-2]}…"
    return shown + end


@contextlib.contextmanager
def new_figure(inches: tuple[float, float], dpi: int, layout: str = "constrained") -> Iterator[Figure]:
    """Create a figure to draw on, of this width and height; pyplot and its state are not touched."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it reports building its font cache
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context(["default", SETTINGS]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the font draws a box
        figure = Figure(figsize=inches, dpi=dpi, layout=layout)
        FigureCanvasAgg(figure)
        yield figure


def figure_png(figure: Figure) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def figure_svg(figure: Figure) -> bytes:
    """Return the figure as an SVG file with a transparent background."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
