"""Keys of `[data]` that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from usrn_keras.recipe.schema import Data

PLACEHOLDER = "{name}"
FOLDER_KEYS = (
    *("images", "masks", "val_images", "val_masks", "test_images", "test_masks", "image_pattern"),
    *("mask_pattern", "classes", "mask_format", "mask_ids", "ignore_colours"),
)


def data_contradictions(data: Data) -> Iterator[str]:
    """Faults that no single key of `[data]` shows, one line each.

    Example:

    >>> list(data_contradictions(Data(dataset="folder", root="my_folder", val_images="val")))
    ['data.val_masks: missing; it names the masks of data.val_images']
    """
    if data.dataset != "folder":
        yield from _keys_of_other_data_sets(data)
        return
    if not data.root:
        yield "data.root: missing; a folder data set needs the folder it lies in"
    yield from _patterns(data)
    yield from _held_out_folders(data)
    yield from _mask_values(data)


def _keys_of_other_data_sets(data: Data) -> Iterator[str]:
    if data.dataset == "quickstart":
        return  # a folder data set, of which tools may write every key
    for key in FOLDER_KEYS:
        if getattr(data, key) != Data.model_fields[key].get_default():
            yield f"data.{key}: only data.dataset = 'folder' reads it, received dataset = {data.dataset!r}"


def _patterns(data: Data) -> Iterator[str]:
    for key in ("image_pattern", "mask_pattern"):
        pattern = getattr(data, key)
        if pattern.count(PLACEHOLDER) != 1 or "/" in pattern or "\\" in pattern:
            yield (
                f"data.{key}: must be a file name without suffix that holds {PLACEHOLDER} exactly once, "
                f"such as {PLACEHOLDER}_mask, received {pattern!r}"
            )


def _held_out_folders(data: Data) -> Iterator[str]:
    for part in ("val", "test"):
        images, masks = f"{part}_images", f"{part}_masks"
        if getattr(data, images) and not getattr(data, masks):
            yield f"data.{masks}: missing; it names the masks of data.{images}"
        if getattr(data, masks) and not getattr(data, images):
            yield f"data.{images}: missing; it names the images of data.{masks}"


def _mask_values(data: Data) -> Iterator[str]:
    if data.mask_format == "colours" and data.mask_ids:
        yield "data.mask_ids: masks hold colours (data.mask_format = 'colours'), so they have no ids"
    if data.mask_format == "ids" and data.ignore_colours:
        yield "data.ignore_colours: needs data.mask_format = 'colours'; for ids there is data.ignore_index"
    for colour in data.ignore_colours:
        if len(colour) != 3:
            yield f"data.ignore_colours: a colour is [RED, GREEN, BLUE], received {colour}"
    for value in sorted({value for value in data.mask_ids if data.mask_ids.count(value) > 1}):
        yield f"data.mask_ids: the value {value} stands for two classes"
    if data.ignore_index in data.mask_ids:
        yield f"data.ignore_index: {data.ignore_index} is the value of a class in data.mask_ids"
