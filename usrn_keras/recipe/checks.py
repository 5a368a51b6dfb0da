"""Contradictions between the keys of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from usrn_keras.recipe.bands import band_errors, parse_bands
from usrn_keras.recipe.method_options import METHOD_OPTIONS, MethodOptions, USRNOptions
from usrn_keras.recipe.schema import (
    DataSection,
    EvaluationSection,
    NetworkSection,
    SubclassesSection,
    TrainingSection,
    ViewsSection,
)
from usrn_keras.recipe.section import Section

PLACEHOLDER = "{name}"
FOLDER_KEYS = (
    *("images", "masks", "val_images", "val_masks", "test_images", "test_masks", "image_pattern"),
    *("mask_pattern", "classes", "mask_format", "mask_ids", "ignore_colours", "mask_threshold"),
)
DECODER_KEYS = ("decoder", "output_stride")  # a complete architecture brings its own


def contradictions(sections: Mapping[str, Section], method: str) -> Iterator[str]:
    """Yield one line for each contradiction within and between valid sections.

    Args:
        sections: The valid sections by name.
        method: Name of the section with the options of the method.

    Example:

    >>> found = contradictions({"evaluation": EvaluationSection(checkpoint="best")}, "usrn")
    >>> [error.split(":")[0] for error in found]
    ['evaluation.checkpoint']
    """
    for name, check in CHECKS.items():
        if name in sections:
            yield from check(sections[name])
    if {"data", "views"} <= sections.keys():
        yield from _views_of_bands(sections["data"], sections["views"])
    options = sections.get(method)
    if "training" not in sections:
        return
    training = sections["training"]
    if "network" in sections:
        yield from _layer_decay(training, sections["network"])
        if "views" in sections:
            yield from _features(sections["views"], sections["network"], training)
    if isinstance(options, MethodOptions):
        yield from options.contradictions(method, training.start)
        if not training.with_usrn:
            yield from options.without_usrn(method)
        if "views" in sections and (crop := sections["views"].crop_size) < options.smallest_crop:
            yield (
                f"views.crop_size: must be at least {options.smallest_crop} with training.method = "
                f"{method!r}, received {crop}"
            )
    if isinstance(usrn := sections.get("usrn"), USRNOptions):
        yield from _usrn_on_top(training, usrn, options)


def _features(views: ViewsSection, network: NetworkSection, training: TrainingSection) -> Iterator[str]:
    """Yield contradictions of views that are cut from features."""
    if views.source == "images":
        if views.strong == "feature_dropout":
            yield (
                "views.strong: 'feature_dropout' needs views.source = 'features' or 'cached_features', "
                f"received {views.source!r}"
            )
        return
    needed = f"with views.source = {views.source!r}"
    if network.frozen != "backbone" or network.lora_rank:
        yield (
            f"network.frozen: must be 'backbone' without adapters {needed}, received {network.frozen!r} and "
            f"network.lora_rank = {network.lora_rank}"
        )
    if views.strong not in ("feature_dropout", "none"):
        yield f"views.strong: must be 'feature_dropout' or 'none' {needed}, received {views.strong!r}"
    for key in ("scale_labelled", "scale_unlabelled"):
        if getattr(views, key) != [1.0, 1.0]:
            yield (
                f"views.{key}: must be [1.0, 1.0] {needed}: features are those of images at one scale; "
                f"received {getattr(views, key)}"
            )
    if views.labelled_jitter:
        yield f"views.labelled_jitter: must be false {needed}, received true"
    if training.with_usrn:
        yield f"training.with_usrn: must be false {needed}, received true"


def _layer_decay(training: TrainingSection, network: NetworkSection) -> Iterator[str]:
    """Yield a contradiction of `training.layer_decay` with a backbone of which nothing is trained."""
    if training.layer_decay != 1 and network.frozen == "backbone" and not network.lora_rank:
        yield (
            "training.layer_decay: without effect with network.frozen = 'backbone', received "
            f"{training.layer_decay}; remove the key, or set network.frozen to 'stem' or 'none'"
        )


def _usrn_on_top(training: TrainingSection, usrn: USRNOptions, host: Section | None) -> Iterator[str]:
    """Yield contradictions of `training.with_usrn` with the host and with `[usrn]`."""
    if not training.with_usrn:
        if usrn.on_disagreement:
            yield (
                "usrn.on_disagreement: used only with training.with_usrn = true, received "
                f"{usrn.on_disagreement!r}; with training.method = 'usrn' disagreement can only drop a label"
            )
        return
    if not (isinstance(host, MethodOptions) and host.takes_usrn):
        hosts = ", ".join(name for name, one in METHOD_OPTIONS.items() if one is not None and one.takes_usrn)
        yield (
            f"training.with_usrn: must be false with training.method = {training.method!r}, allowed with "
            f"{hosts}, received true; USRN on top of self_training is training.method = 'usrn'"
        )
        return
    yield from usrn.contradictions("usrn", training.start)
    for key in USRNOptions.alone:
        if getattr(usrn, key) != USRNOptions.model_fields[key].get_default():
            yield (
                f"usrn.{key}: not used with training.with_usrn = true, where the loss on "
                f"unlabelled images is that of {training.method!r}, received {getattr(usrn, key)!r}; remove "
                "this key"
            )
    if host.selects_sublabels and usrn.threshold != USRNOptions.model_fields["threshold"].get_default():
        yield (
            f"usrn.threshold: not used with training.method = {training.method!r}, whose quotas select the "
            f"sublabels, received {usrn.threshold}; remove this key"
        )
    if host.overrides_labels and not usrn.on_disagreement:
        yield (
            f"usrn.on_disagreement: required with training.method = {training.method!r}, which has no "
            "confidence threshold above 0.5; must be 'drop' (leave out the pixels where F_sub contradicts F) "
            "or 'override' (take the label of F_sub)"
        )
    if not host.overrides_labels and usrn.on_disagreement == "override":
        yield (
            f"usrn.on_disagreement: must be 'drop' with the threshold of {training.method!r}, above which "
            "F_sub cannot change a label, received 'override'"
        )


def _views(views: ViewsSection) -> Iterator[str]:
    for key in ("scale_labelled", "scale_unlabelled"):
        low, high = getattr(views, key)
        if low > high:
            yield f"views.{key}: the smallest scale must not exceed the largest, received [{low}, {high}]"
    if views.jitter[3] > 0.5:
        yield f"views.jitter: hue must be at most 0.5 of the colour circle, received {views.jitter[3]}"


def _views_of_bands(data: DataSection, views: ViewsSection) -> Iterator[str]:
    """Yield a line for strong views that are defined for red, green and blue alone."""
    if views.strong not in ("keras_cv", "random_intensity") or list(band_errors(data.bands)):
        return
    bands = parse_bands(data.bands)
    if bands is not None and not bands.are_rgb:
        yield (
            f"views.strong: must be 'device' or 'none' with data.bands = {data.bands}, received "
            f"{views.strong!r}, which is defined for the bands red, green and blue in this order"
        )


def _checkpoint(evaluation: EvaluationSection) -> Iterator[str]:
    if evaluation.checkpoint == "best" and evaluation.every == 0:
        yield (
            "evaluation.checkpoint: `best` needs evaluation.every above 0, the steps after which weights are "
            "compared on val, received evaluation.every = 0"
        )


def data_contradictions(data: DataSection) -> Iterator[str]:
    """Yield contradictions between keys of `[data]`, one line each.

    Example:

    >>> list(data_contradictions(DataSection(dataset="folder", root="my_folder", val_images="val")))
    ['data.val_masks: missing; it names the masks of data.val_images']
    """
    yield from _value_range(data)
    yield from band_errors(data.bands)
    if data.dataset != "folder":
        yield from _keys_of_other_data_sets(data)
        return
    if not data.root:
        yield "data.root: missing; this key is required for data.dataset = 'folder'"
    yield from _patterns(data)
    yield from _held_out_folders(data)
    yield from _mask_values(data)


def _value_range(data: DataSection) -> Iterator[str]:
    if data.value_range and (len(data.value_range) != 2 or data.value_range[0] >= data.value_range[1]):
        yield (
            "data.value_range: must be the value that becomes black and a larger one that becomes white, "
            f"such as [0, 4095], or empty, received {data.value_range}"
        )


def _keys_of_other_data_sets(data: DataSection) -> Iterator[str]:
    if data.dataset == "quickstart":
        return  # a folder data set; tools may write all its keys
    for key in FOLDER_KEYS:
        if getattr(data, key) != DataSection.model_fields[key].get_default():
            yield f"data.{key}: used only with data.dataset = 'folder', received dataset = {data.dataset!r}"


def _patterns(data: DataSection) -> Iterator[str]:
    for key in ("image_pattern", "mask_pattern"):
        pattern = getattr(data, key)
        folder, _, stem = pattern.rpartition("/")
        wrong_folder = PLACEHOLDER in folder or folder.strip("/") != folder
        if stem.count(PLACEHOLDER) != 1 or wrong_folder or "\\" in pattern:
            yield (
                f"data.{key}: must be a file name without suffix that contains {PLACEHOLDER} exactly once, "
                f"such as {PLACEHOLDER}_mask, with or without a folder before it, such as rgb/{PLACEHOLDER}, "
                f"received {pattern!r}"
            )


def _held_out_folders(data: DataSection) -> Iterator[str]:
    for part in ("val", "test"):
        images, masks = f"{part}_images", f"{part}_masks"
        if getattr(data, images) and not getattr(data, masks):
            yield f"data.{masks}: missing; it names the masks of data.{images}"
        if getattr(data, masks) and not getattr(data, images):
            yield f"data.{images}: missing; it names the images of data.{masks}"


def _mask_values(data: DataSection) -> Iterator[str]:
    if data.mask_threshold >= 0 and (data.mask_format == "colours" or data.mask_ids):
        yield (
            "data.mask_threshold: not allowed with data.mask_format = 'colours' or data.mask_ids: larger "
            f"values are the second class, received {data.mask_threshold}"
        )
    if data.mask_format == "colours" and data.mask_ids:
        yield "data.mask_ids: must be empty with data.mask_format = 'colours', whose masks have no ids"
    if data.mask_format == "ids" and data.ignore_colours:
        yield "data.ignore_colours: needs data.mask_format = 'colours'; for ids use data.ignore_index"
    for colour in data.ignore_colours:
        if len(colour) != 3:
            yield f"data.ignore_colours: each colour must be [RED, GREEN, BLUE], received {colour}"
    for value in sorted({value for value in data.mask_ids if data.mask_ids.count(value) > 1}):
        yield f"data.mask_ids: the value {value} is listed for two classes"
    if data.ignore_index in data.mask_ids:
        yield f"data.ignore_index: {data.ignore_index} is the value of a class in data.mask_ids"


def network_contradictions(network: NetworkSection) -> Iterator[str]:
    """Yield contradictions between keys of `[network]`, one line each.

    Options of other decoders are allowed: a recipe may contain the options of several decoders.

    Example:

    >>> list(network_contradictions(NetworkSection(backbone="keras/mobilenet", psa_mask=4)))
    ['network.psa_mask: must be odd, or 0 to cover a crop, received 4']
    """
    if network.psa_mask and network.psa_mask % 2 == 0:
        yield (f"network.psa_mask: must be odd, or 0 to cover a crop, received {network.psa_mask}")
    if not network.backbone:
        yield "network.backbone: missing; this key is required, for example keras/mobilenet"
    yield from _fine_tuning(network)
    if network.architecture:
        yield from _keys_of_architecture(network, DECODER_KEYS)
    if network.weights == "imagenet" and network.width != 1:
        yield (
            "network.width: must be 1 with network.weights = 'imagenet'; for another width set "
            f"network.weights to 'none' or the path of a weights file; received {network.width}"
        )


def _fine_tuning(network: NetworkSection) -> Iterator[str]:
    """Yield contradictions of a backbone that keeps its weights, or the most of them."""
    if network.lora_rank and network.frozen != "backbone":
        yield (
            "network.lora_rank: used only with network.frozen = 'backbone', received "
            f"network.frozen = {network.frozen!r}"
        )
    if network.frozen != "none" and network.weights == "none":
        yield (
            f"network.frozen: {network.frozen!r} keeps the initial weights, which are random with "
            "network.weights = 'none'; set network.weights to 'imagenet' or the path of a weights file"
        )


def _keys_of_architecture(network: NetworkSection, keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        value, default = getattr(network, key), NetworkSection.model_fields[key].get_default()
        if value != default:
            yield (
                f"network.{key}: fixed by network.architecture = {network.architecture!r}, received "
                f"{value!r}; remove this key, or set network.architecture to ''"
            )


def _engine(subclasses: SubclassesSection) -> Iterator[str]:
    if subclasses.engine == "k_means_constrained" and subclasses.assignment == "free":
        yield (
            "subclasses.engine: 'k_means_constrained' makes clusters of equal size, so subclasses.assignment "
            "must be 'balanced', received 'free'"
        )


CHECKS: dict[str, Callable[..., Iterator[str]]] = {
    "views": _views,
    "network": network_contradictions,
    "data": data_contradictions,
    "evaluation": _checkpoint,
    "subclasses": _engine,
}
