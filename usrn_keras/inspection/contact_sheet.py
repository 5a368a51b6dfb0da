"""Contact sheet of `usrn data show`: the first training views in one picture.

The views are taken from the training batches themselves.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from usrn_keras.data import Dataset, as_rgb, load_dataset
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.inspection.legend import LINE, NOT_LEARNED, Legend, overlay, resized
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.bands import Bands, parse_bands
from usrn_keras.report.figure import font


@dataclass(frozen=True)
class LabelledView:
    """A weak view of a labelled image.

    Args:
        name: Name of the image file.
        image: RGB image, uint8 of shape `(crop, crop, 3)`.
        labels: Class ids and ignored pixels, int32 of shape `(crop, crop)`.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class UnlabelledView:
    """The two views of an unlabelled image.

    Args:
        name: Name of the image file.
        weak: Weak view, uint8 of shape `(crop, crop, 3)`.
        strong: Strong view of the same shape; None if the recipe has no strong views.
        parameters: Parameters of the strong view, float32 of shape `(6,)`, see
            `usrn_keras.strong_view.StrongView.draw`; None if unknown.
    """

    name: str
    weak: np.ndarray
    strong: np.ndarray | None
    parameters: np.ndarray | None


def first_views(
    recipe: Recipe, dataset: Dataset, count: int
) -> tuple[list[LabelledView], list[UnlabelledView]]:
    """Return the first `count` views of each kind, in training order.

    Raises:
        DataError: If a file of the first batches cannot be read.
    """
    batches, bands = build_batches(recipe, dataset), parse_bands(recipe.data.bands)
    labelled: list[LabelledView] = []
    unlabelled: list[UnlabelledView] = []
    step = 0
    while min(len(labelled), len(unlabelled)) < count:
        batch, names = batches.batch(step), batches.names(step)
        labelled += _labelled(batch, names[: batches.batch_labelled], bands)
        unlabelled += _unlabelled(batch, names[batches.batch_labelled :], bands)
        step += 1
    return labelled[:count], unlabelled[:count]


def _labelled(
    batch: dict[str, np.ndarray], names: list[str], bands: Bands | None = None
) -> list[LabelledView]:
    images = batch["labelled"]
    if "labelled_parameters" in batch:
        images = _strong(images, batch["labelled_parameters"])
    images = [as_rgb(image, bands) for image in images]
    return [LabelledView(*view) for view in zip(names, images, batch["labels"], strict=True)]


def _unlabelled(
    batch: dict[str, np.ndarray], names: list[str], bands: Bands | None = None
) -> list[UnlabelledView]:
    weak, parameters = batch["weak"], batch.get("strong_parameters")
    strong = batch.get("strong")
    if strong is None and parameters is not None:
        strong = _strong(weak, parameters)
    nothing = [None] * len(weak)
    return [
        UnlabelledView(*view)
        for view in zip(
            names,
            [as_rgb(image, bands) for image in weak],
            nothing if strong is None else [as_rgb(image, bands) for image in strong],
            nothing if parameters is None else parameters,
            strict=True,
        )
    ]


def _strong(images: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    from keras import ops

    from usrn_keras.strong_view import strong_view

    return ops.convert_to_numpy(strong_view(images, parameters)).round().astype(np.uint8)


CELL = 256  # height and width of a view
GAP = 8  # within a pair of views
PAIR_GAP = 40
MARGIN = 28
CAPTION = 46  # two lines below a view, and space
HEADER = 112
INK, GREY, PAPER = (25, 25, 30), (115, 115, 120), (255, 255, 255)
TITLE, HEADING, SMALL = font(22, bold=True), font(14, bold=True), font(11)

Cell = tuple[np.ndarray, Sequence[str]]  # a square picture, and the lines of its caption


def views_png(recipe: Recipe, count: int) -> bytes:
    """Draw the first training views, and return the picture as a PNG file.

    Each of the `count` rows shows a labelled weak view, the same view with its class colours (ignored pixels
    hatched), an unlabelled weak view, and its strong view. The legend below shows the share of each class in
    the labelled views.

    Args:
        recipe: Recipe that defines data set, views and seed.
        count: Number of rows.

    Raises:
        DataError: If the data set cannot be used, or a file cannot be read.
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
    """Return the left edges of the columns; a gap separates labelled and unlabelled views."""
    step = CELL + GAP
    second = MARGIN + step + CELL + PAIR_GAP
    return [MARGIN, MARGIN + step, second, second + step][:columns]


def _header(pen: ImageDraw.ImageDraw, recipe: Recipe, lefts: Sequence[int]) -> None:
    views, training = recipe.views, recipe.training
    pen.text((MARGIN, 18), f"{recipe.name}: training views", fill=INK, font=TITLE)
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
    # Draw colours and hatching at the final size.
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
    """Describe the parameters of a strong view in two lines."""
    if parameters is None:
        return ()
    brightness, contrast, saturation, hue, grey, blur, *visible = parameters.tolist()
    if visible and min(visible) < 0:  # hue, saturation and grey of bands without a colour do not change
        blurred = "blurred" if blur else ""
        return f"brightness {brightness:.2f}, contrast {contrast:.2f}", blurred
    switched = ["grey"] * bool(grey) + ["blurred"] * bool(blur)
    if (brightness, contrast, saturation, hue) == (1, 1, 1, 0):
        return "colours unchanged", ", ".join(switched)
    first = f"brightness {brightness:.2f}, contrast {contrast:.2f}"
    return first, ", ".join([f"saturation {saturation:.2f}, hue {360 * hue:+.0f}\N{DEGREE SIGN}", *switched])


def _fitting(caption: str) -> str:
    """Shorten a caption in the middle until it fits the width of a view."""
    kept = len(caption)
    short = caption
    while SMALL.getlength(short) > CELL:
        kept -= 1
        short = f"{caption[: kept // 2]}…{caption[len(caption) - (kept - kept // 2) :]}"
    return short
