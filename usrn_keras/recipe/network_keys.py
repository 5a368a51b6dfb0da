"""Keys of `[network]` that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from usrn_keras.recipe.schema import Network

BUILT_HERE = ("decoder", "output_stride")  # a whole architecture has its own
OF_A_BACKBONE = ("backbone", "width", "backbone_end")


def network_contradictions(network: Network) -> Iterator[str]:
    """Faults that no single key of `[network]` shows, one line each.

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
