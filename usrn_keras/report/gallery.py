"""All measured images on a page, sorted by their scores, in a bounded number of bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from usrn_keras.report.page import Page
from usrn_keras.report.page_parts import Picture, Shot
from usrn_keras.report.pictures import SIDE, PredictedImage, difference_legend, pictures_of
from usrn_keras.report.run_summary import RunSummary

MOST_BYTES = 9_000_000  # of all picture files; the page encodes them in a third more, 12 MB
SIDES = (SIDE, 240, 160, 112)  # pixels of the longer side of a picture: the largest that fits
TRIED = 8  # images that are drawn to estimate the bytes of all


def picture_section(page: Page, summary: RunSummary) -> None:
    """Add the section: the meaning of the colours, a few telling images, and the gallery of all."""
    page.section("Pictures")
    if not summary.images:
        page.note(summary.missing.get("pictures", "There are no pictures."))
        return
    models = list(summary.images[0].predictions)
    page.text(
        "Each map shows one class per colour; pixels without a class are white. "
        + "A white line with a black edge surrounds the rare classes (*). " * bool(summary.rare.any())
        + f"The last picture of an image shows where {'the models differ' if models[1:] else 'it is wrong'}."
    )
    page.legend([(summary.marked(i), summary.palette[i]) for i in range(len(summary.classes))])
    page.legend(difference_legend(models))
    for what, image in highlights(summary.images).items():
        page.pictures(f"{what}: {image.heading()}", pictures_of(image, summary.palette, summary.rare))
    orders = orders_of(summary.images)
    shots, side = _shots(summary, orders)
    count = f"All {len(shots)}" if len(shots) == summary.measured else f"{len(shots)} of {summary.measured}"
    page.gallery(
        f"{count} measured images, sorted by score",
        [(name, label) for name, (label, _) in orders.items()],
        shots,
        f"Select an image to enlarge it. Pictures are at most {side} pixels wide and together at most "
        f"{MOST_BYTES * 4 // 3_000_000} MB, so that the page can be sent and opened.",
    )
    if "images" in summary.missing:
        page.note(summary.missing["images"])


def highlights(images: Sequence[PredictedImage]) -> dict[str, PredictedImage]:
    """The images to look at first: the lowest mIoU, the largest gain, the largest loss."""
    found: list[tuple[str, PredictedImage]] = []
    if scored := [image for image in images if _score(image) is not None]:
        found.append(("lowest mIoU", min(scored, key=_score)))
    if compared := [image for image in images if _gain(image) is not None]:
        best, worst = max(compared, key=_gain), min(compared, key=_gain)
        found += [("largest gain", best)] if _gain(best) > 0 else []
        found += [("largest loss", worst)] if _gain(worst) < 0 else []
    reasons_of: dict[str, list[str]] = {}
    for what, image in found or [("first image", images[0])]:
        reasons_of.setdefault(image.name, []).append(what)
    by_name = {image.name: image for image in images}
    return {_sentence(reasons): by_name[name] for name, reasons in reasons_of.items()}


def orders_of(images: Sequence[PredictedImage]) -> dict[str, tuple[str, list[PredictedImage]]]:
    """The orders of a gallery by name, the default first: label and the images in this order."""

    def by(key: Callable[[PredictedImage], float | None], sign: int) -> list[PredictedImage]:
        def place(image: PredictedImage) -> tuple[bool, float, str]:
            value = key(image)
            return value is None, 0.0 if value is None else sign * value, image.name

        return sorted(images, key=place)

    orders = {"low": ("lowest mIoU first", by(_score, 1)), "high": ("highest mIoU first", by(_score, -1))}
    if any(_gain(image) is not None for image in images):
        orders["gain"] = "largest gain first", by(_gain, -1)
        orders["loss"] = "largest loss first", by(_gain, 1)
    return orders | {"name": ("by name", sorted(images, key=lambda image: image.name))}


def _shots(
    summary: RunSummary, orders: Mapping[str, tuple[str, list[PredictedImage]]]
) -> tuple[list[Shot], int]:
    """The images in the default order as far as they fit, and the side of their pictures."""

    def drawn(image: PredictedImage, side: int) -> list[Picture]:
        return pictures_of(image, summary.palette, summary.rare, side)

    images = orders["low"][1]
    some = images[:: max(1, len(images) // TRIED)]
    for side in SIDES:
        mean = sum(_bytes(drawn(image, side)) for image in some) / len(some)
        if 1.1 * mean * len(images) <= MOST_BYTES:
            break
    places = {
        name: {id(image): place for place, image in enumerate(order)} for name, (_, order) in orders.items()
    }
    shots, left = [], MOST_BYTES
    for image in images:
        pictures = drawn(image, side)
        left -= _bytes(pictures)
        if left < 0:
            break
        photo, label, *maps, difference = pictures
        its = {name: of[id(image)] for name, of in places.items()}
        shots.append(Shot(image.name, image.score(), [photo, maps[-1]], [label, *maps[:-1], difference], its))
    return shots, side


def _sentence(reasons: Sequence[str]) -> str:
    text = " and ".join(reasons)
    return text[0].upper() + text[1:]


def _bytes(pictures: Sequence[Picture]) -> int:
    return sum(len(picture.content) for picture in pictures)


def _score(image: PredictedImage) -> float | None:
    return image.mious[-1] if image.mious else None


def _gain(image: PredictedImage) -> float | None:
    """mIoU of the last model minus that of the first; None with one model."""
    if len(image.mious) < 2 or None in (image.mious[0], image.mious[-1]):
        return None
    return image.mious[-1] - image.mious[0]
