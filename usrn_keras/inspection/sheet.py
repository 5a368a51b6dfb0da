"""The contact sheet of `usrn data show`: what training sees, on one picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.inspection.fonts import font
from usrn_keras.inspection.legend import LINE, NOT_LEARNED, Legend
from usrn_keras.inspection.overlay import overlay, resized
from usrn_keras.inspection.views import LabelledView, UnlabelledView, first_views
from usrn_keras.recipe import Recipe

CELL = 256  # height and width of a view
GAP = 8  # within a pair of views
PAIR_GAP = 40
MARGIN = 28
CAPTION = 46  # two lines below a view, and space
HEADER = 112
INK, GREY, PAPER = (25, 25, 30), (115, 115, 120), (255, 255, 255)
TITLE, HEADING, SMALL = font(22, bold=True), font(14, bold=True), font(11)

Cell = tuple[np.ndarray, Sequence[str]]  # a square picture, and the lines below it


def views_png(recipe: Recipe, count: int) -> bytes:
    """A PNG file of the first views of training.

    A row for each of `count` labelled and unlabelled images: the labelled weak view, the same under its
    class colours (ignored pixels hatched), the unlabelled weak view, its strong view. Below them the
    legend with the share of each class in the labelled views.

    Args:
        recipe: Names the data set and the views; its seed draws them.
        count: Rows.

    Raises:
        DataError: The data set cannot be used, or a file cannot be read.
    """
    dataset = load_dataset(recipe.data)
    labelled, unlabelled = first_views(recipe, dataset, count)
    buffer = io.BytesIO()
    _draw(recipe, dataset, labelled, unlabelled).save(buffer, "PNG")
    return buffer.getvalue()


def _draw(
    recipe: Recipe,
    dataset: Dataset,
    labelled: Sequence[LabelledView],
    unlabelled: Sequence[UnlabelledView],
) -> Image.Image:
    legend = Legend(dataset, [view.labels for view in labelled])
    lefts = _lefts(3 if unlabelled[0].strong is None else 4)
    width = lefts[-1] + CELL + MARGIN
    rows_end = HEADER + len(labelled) * (CELL + CAPTION)
    sheet = Image.new("RGB", (width, rows_end + legend.height(width - 2 * MARGIN) + MARGIN), PAPER)
    pen = ImageDraw.Draw(sheet)
    _header(pen, recipe, lefts)
    for row, (with_mask, without) in enumerate(zip(labelled, unlabelled, strict=True)):
        cells = [*_labelled_cells(with_mask, dataset), *_unlabelled_cells(without)]
        for left, (picture, caption) in zip(lefts, cells, strict=True):
            top = HEADER + row * (CELL + CAPTION)
            sheet.paste(Image.fromarray(picture), (left, top))
            text = "\n".join(map(_fitting, caption))
            pen.text((left, top + CELL + 4), text, fill=GREY, font=SMALL, spacing=2)
    legend.draw(sheet, MARGIN, rows_end + LINE // 2, width - 2 * MARGIN)
    return sheet


def _lefts(columns: int) -> list[int]:
    """Where the columns begin; the two pairs stand apart."""
    step = CELL + GAP
    second = MARGIN + step + CELL + PAIR_GAP
    return [MARGIN, MARGIN + step, second, second + step][:columns]


def _header(pen: ImageDraw.ImageDraw, recipe: Recipe, lefts: Sequence[int]) -> None:
    views, training = recipe.views, recipe.training
    pen.text((MARGIN, 18), f"{recipe.name}: what training sees", fill=INK, font=TITLE)
    settings = (
        f"crop {views.crop_size}, long side {views.long_side}, scale {_range(views.scale_labelled)} labelled "
        f"and {_range(views.scale_unlabelled)} unlabelled, flip {views.flip:g}, seed {training.seed}"
    )
    pen.text((MARGIN, 50), settings, fill=GREY, font=SMALL)
    strong = "strong (keras-cv)" if views.strong == "keras_cv" else "strong"
    titles = ("labelled", "classes", "unlabelled, weak", f"unlabelled, {strong}")
    for left, title in zip(lefts, titles, strict=False):
        pen.text((left, HEADER - 26), title, fill=INK, font=HEADING)


def _range(scales: Sequence[float]) -> str:
    return f"{scales[0]:g} to {scales[1]:g}"


def _labelled_cells(view: LabelledView, dataset: Dataset) -> list[Cell]:
    # Colours and hatching are drawn at the size they are seen in.
    image, labels = resized(view.image, CELL), resized(view.labels, CELL)
    ignored = float(np.mean(view.labels == dataset.ignore_index))
    caption = (f"{100 * ignored:.1f} % {NOT_LEARNED}",) if ignored else ()
    return [(image, (_stem(view.name),)), (overlay(image, labels, dataset.palette), caption)]


def _unlabelled_cells(view: UnlabelledView) -> list[Cell]:
    cells = [(resized(view.weak, CELL), (_stem(view.name),))]
    if view.strong is not None:
        cells.append((resized(view.strong, CELL), _described(view.parameters)))
    return cells


def _stem(name: str) -> str:
    return Path(name).stem


def _described(parameters: np.ndarray | None) -> tuple[str, ...]:
    """What a strong view does to an image, in two lines."""
    if parameters is None:
        return ()
    brightness, contrast, saturation, hue, grey, blur = parameters.tolist()
    switched = ["grey"] * bool(grey) + ["blurred"] * bool(blur)
    if (brightness, contrast, saturation, hue) == (1, 1, 1, 0):
        return "colours as they are", ", ".join(switched)
    first = f"brightness {brightness:.2f}, contrast {contrast:.2f}"
    return first, ", ".join([f"saturation {saturation:.2f}, hue {360 * hue:+.0f}\N{DEGREE SIGN}", *switched])


def _fitting(caption: str) -> str:
    """The caption, its middle left out where it is longer than a view is wide."""
    kept = len(caption)
    short = caption
    while SMALL.getlength(short) > CELL:
        kept -= 1
        short = f"{caption[: kept // 2]}…{caption[len(caption) - (kept - kept // 2) :]}"
    return short
