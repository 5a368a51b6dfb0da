"""Contradictions between the keys of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from usrn_keras.recipe.method_options import MethodOptions
from usrn_keras.recipe.schema import Data, Evaluation, Network, Views
from usrn_keras.recipe.section import Section

PLACEHOLDER = "{name}"
FOLDER_KEYS = (
    *("images", "masks", "val_images", "val_masks", "test_images", "test_masks", "image_pattern"),
    *("mask_pattern", "classes", "mask_format", "mask_ids", "ignore_colours"),
)
BUILT_HERE = ("decoder", "output_stride")  # a whole architecture has its own
OF_A_BACKBONE = ("backbone", "width", "backbone_end")


def contradictions(sections: Mapping[str, Section], method: str) -> Iterator[str]:
    """Yield one line for each contradiction between the sections that are valid by themselves.

    Args:
        sections: The valid sections by name.
        method: Name of the section with the options of the method.

    Example:

    >>> found = contradictions({"evaluation": Evaluation(checkpoint="best")}, "usrn")
    >>> [error.split(":")[0] for error in found]
    ['evaluation.checkpoint']
    """
    for name, check in CHECKS.items():
        if name in sections:
            yield from check(sections[name])
    options = sections.get(method)
    if isinstance(options, MethodOptions) and "training" in sections:
        yield from options.contradictions(method, sections["training"].start)


def _views(views: Views) -> Iterator[str]:
    for key in ("scale_labelled", "scale_unlabelled"):
        low, high = getattr(views, key)
        if low > high:
            yield f"views.{key}: the smallest must not exceed the largest, received [{low}, {high}]"
    if views.jitter[3] > 0.5:
        yield f"views.jitter: hue must be at most 0.5 of the colour circle, received {views.jitter[3]}"


def _checkpoint(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.checkpoint == "best" and evaluation.every == 0:
        yield (
            "evaluation.checkpoint: `best` needs evaluation.every above 0, the steps after which weights are "
            "compared on val, received evaluation.every = 0"
        )


def data_contradictions(data: Data) -> Iterator[str]:
    """ErrorList that no single key of `[data]` shows, one line each.

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


def network_contradictions(network: Network) -> Iterator[str]:
    """ErrorList that no single key of `[network]` shows, one line each.

    Options of a decoder that is not chosen are no fault: a recipe may hold those of several.

    Example:

    >>> list(network_contradictions(Network(backbone="keras/mobilenet", psa_mask=4)))
    ['network.psa_mask: must be odd, its centre is the pixel itself, or 0 to cover a crop; received 4']
    """
    if network.psa_mask and network.psa_mask % 2 == 0:
        yield (
            "network.psa_mask: must be odd, its centre is the pixel itself, or 0 to cover a crop; "
            f"received {network.psa_mask}"
        )
    segformer = network.architecture.startswith("keras_cv/segformer")
    if not network.backbone and not segformer:
        yield "network.backbone: missing; this key is required, such as keras/mobilenet"
    if network.architecture:
        yield from _keys_of_our_own(network, (*BUILT_HERE, *(OF_A_BACKBONE if segformer else ())))
    if not segformer and network.weights == "imagenet" and network.width != 1:
        yield (
            "network.width: must be 1 with network.weights = 'imagenet', which no other width has; or give "
            f"'none' or the path of a weights file there, received {network.width}"
        )
    if segformer and network.weights == "imagenet":
        yield (
            f"network.weights: {network.architecture} has no ImageNet weights here; give 'none' or the path "
            "of a weights file, received 'imagenet'"
        )


def _keys_of_our_own(network: Network, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        value, default = getattr(network, key), Network.model_fields[key].get_default()
        if value != default:
            yield (
                f"network.{key}: {network.architecture} has its own; leave this key out, or choose "
                f"network.architecture = '', received {value!r}"
            )


CHECKS: dict[str, Callable[..., Iterator[str]]] = {
    "views": _views,
    "network": network_contradictions,
    "data": data_contradictions,
    "evaluation": _checkpoint,
}
