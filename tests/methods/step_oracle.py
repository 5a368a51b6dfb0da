"""A training step of every method in plain numpy: what the backends must agree with.

It follows the equations of the paper and the layers of `handmade`, shares no code with the package, and
computes in float64. Gradients are differences: the pseudo labels of the unchanged weights are held, since
none flows through them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import keras
import numpy as np
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from numpy.lib.stride_tricks import sliding_window_view

from tests.methods.handmade import CLASSES, EPSILON, MOMENTUM, PARENTS, SUBCLASSES
from usrn_keras.networks import Branch

Weights = dict[str, np.ndarray]
"""Variables by name: `stem/patches/kernel` (shared), `F/tail/depthwise/kernel`, `F_sub/...`."""

Views = dict[str, np.ndarray]
"""Logits `(batch, height, width, channels)` by head, `F` and `F_sub`."""


@dataclass(frozen=True)
class Settings:
    """A method and its options, named as in `build_method`."""

    method: str
    threshold: float = 0.75
    lambda_u: float = 1.0
    lambda_sub: float = 1.0
    gate: str = "fallback"
    terms: tuple[str, ...] = ("msl", "ost", "usr", "sst", "egm")
    ignore_index: int = 255

    @property
    def heads(self) -> dict[str, tuple[str, ...]]:
        """The heads that a view is passed through, by view."""
        if self.method in ("supervised", "self_training"):
            return dict.fromkeys(("labelled", "weak", "strong"), ("F",))
        if self.method == "prototype_ensemble":
            return {"labelled": ("F",), "weak": ("F", "F_sub"), "strong": ("F",)}
        teaches_sub = "sst" in self.terms
        return {
            "labelled": ("F", "F_sub") if "msl" in self.terms else ("F",),
            "weak": ("F", "F_sub") if teaches_sub or "usr" in self.terms else ("F",),
            "strong": ("F", "F_sub") if teaches_sub else ("F",),
        }


@dataclass
class Pseudo:
    """Pseudo labels of the weak view, and which pixels they are for; all `(batch, height, width)`.

    Attributes:
        labels, taken: Of F.
        sublabels, sub_taken: Of F_sub; None where it makes none.
        shares: What a step reports about them.
        margin: How far the closest decision is from falling the other way.
    """

    labels: np.ndarray
    taken: np.ndarray
    sublabels: np.ndarray | None = None
    sub_taken: np.ndarray | None = None
    shares: dict[str, float] = field(default_factory=dict)
    margin: float = np.inf


def read_weights(branch: Branch, sub_branch: Branch) -> Weights:
    """The weights of two branches of `handmade`, float64."""
    found = {}
    for name, one in (("F", branch), ("F_sub", sub_branch)):
        for part in ("stem", "tail", "decoder", "classifier"):
            owner = "stem" if part == "stem" else f"{name}/{part}"
            for layer in getattr(one, part).layers:
                for variable in layer.variables:
                    value = keras.ops.convert_to_numpy(variable.value)
                    found[f"{owner}/{layer.name}/{variable.name}"] = np.array(value, "float64")
    return found


def views_of(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The images that the network sees, `labelled`, `weak` and `strong`, and the labels."""
    return batch | {
        "labelled": strong_view(batch["labelled"], batch["labelled_parameters"]),
        "weak": np.float64(batch["weak"]),
        "strong": strong_view(batch["weak"], batch["strong_parameters"]),
    }


def step(weights: Weights, batch: dict[str, np.ndarray], settings: Settings) -> tuple[dict, Pseudo, Weights]:
    """One step on `views_of` a batch: loss terms, pseudo labels, and the moving statistics after it.

    Each view is a batch of its own through batch normalisation, in the order labelled, weak, strong.
    """
    after = {name: value for name, value in weights.items() if "moving" in name}
    heads = settings.heads
    labelled = forward(weights, batch["labelled"], heads["labelled"], after)
    if settings.method == "supervised":
        loss, accuracy = labelled_loss(labelled["F"], batch["labels"], settings.ignore_index)
        return {"loss": loss, "pixel_accuracy": accuracy}, Pseudo(*np.zeros((2, 0))), after
    weak = forward(weights, batch["weak"], heads["weak"], after, pooled=True)
    strong = forward(weights, batch["strong"], heads["strong"], after, pooled=True)
    pseudo = pseudo_labels(weak, settings)
    return objective(labelled, strong, pseudo, batch, settings) | pseudo.shares, pseudo, after


def loss_with(weights: Weights, batch: dict[str, np.ndarray], settings: Settings, pseudo: Pseudo) -> float:
    """The loss of other weights with pseudo labels that are given: what is differentiated."""
    unused: Weights = {name: value for name, value in weights.items() if "moving" in name}
    labelled = forward(weights, batch["labelled"], settings.heads["labelled"], unused)
    if settings.method == "supervised":
        return labelled_loss(labelled["F"], batch["labels"], settings.ignore_index)[0]
    strong = forward(weights, batch["strong"], settings.heads["strong"], unused, pooled=True)
    return objective(labelled, strong, pseudo, batch, settings)["loss"]


def objective(
    labelled: Views, strong: Views, pseudo: Pseudo, batch: dict[str, np.ndarray], settings: Settings
) -> dict[str, float]:
    """Eq. 8, and Eqs. 2, 5 and 7 that it is made of."""
    labels = batch["labels"]
    terms = {"supervised": labelled_loss(labelled["F"], labels, settings.ignore_index)[0]}
    loss = terms["supervised"]
    if "F_sub" in labelled:  # Eq. 2
        sublabels = np.where(labels == settings.ignore_index, -1, batch["sublabels"])
        terms["supervised_sub"] = labelled_loss(labelled["F_sub"], sublabels, -1)[0]
        loss = loss + settings.lambda_sub * terms["supervised_sub"]
    unlabelled = 0.0
    if settings.method != "usrn" or "ost" in settings.terms:  # Eq. 7
        terms["self_training"] = (cross_entropies(strong["F"], pseudo.labels) * pseudo.taken).mean()
        unlabelled = unlabelled + terms["self_training"]
    if "F_sub" in strong:  # Eq. 5
        losses = cross_entropies(strong["F_sub"], pseudo.sublabels)
        terms["self_training_sub"] = (losses * pseudo.sub_taken).mean()
        unlabelled = unlabelled + settings.lambda_sub * terms["self_training_sub"]
    return terms | {"loss": loss + settings.lambda_u * unlabelled}


def pseudo_labels(weak: Views, settings: Settings) -> Pseudo:
    """What the weak view teaches: Eqs. 4 to 6, or what another method has in their place."""
    p = softmax(weak["F"])
    plain = settings.method == "self_training" or (settings.method == "usrn" and "usr" not in settings.terms)
    if plain:
        pseudo = _pseudo(p, p, settings)
        if settings.method == "self_training":  # has no gate to report about
            pseudo.shares = {"confident": pseudo.shares["confident"]}
        return pseudo
    q = softmax(weak["F_sub"])
    if settings.method == "prototype_ensemble":
        means = np.stack([q[..., np.array(PARENTS) == c].mean(-1) for c in range(CLASSES)], axis=-1)
        return _pseudo((p + means / means.sum(-1, keepdims=True)) / 2, p, settings)
    certainty = entropy(p) / np.log(CLASSES) - entropy(q) / np.log(SUBCLASSES)
    is_open = certainty >= 0  # Eq. 6
    if settings.gate == "off" or "egm" not in settings.terms:
        is_open, certainty = np.ones_like(is_open), np.ones_like(certainty)
    mask = np.eye(CLASSES)[np.array(PARENTS)[q.argmax(-1)]]
    closed = np.zeros_like(p) if settings.gate == "stop" else p
    r = np.where(is_open[..., None], p * mask, closed)  # Eqs. 4 and 6
    pseudo = _pseudo(r, p, settings)
    pseudo = replace(pseudo, margin=min(pseudo.margin, np.abs(certainty).min(), _lead(q).min()))
    pseudo.shares["gate_open"] = is_open.mean()
    if "sst" not in settings.terms:
        return pseudo
    confidence = q.max(-1)
    sub_taken = confidence > settings.threshold
    pseudo.shares["confident_sub"] = sub_taken.mean()
    margin = min(pseudo.margin, np.abs(confidence - settings.threshold).min())
    return replace(pseudo, sublabels=q.argmax(-1), sub_taken=sub_taken, margin=margin)


def _pseudo(r: np.ndarray, p: np.ndarray, settings: Settings) -> Pseudo:
    """Pseudo labels of class scores `r`, where F's own probabilities are `p`."""
    taken, own_taken = r.max(-1) > settings.threshold, p.max(-1) > settings.threshold
    shares = {
        "confident": taken.mean(),
        "gate_dropped": (own_taken & ~taken).mean(),
        "label_overridden": (taken & (r.argmax(-1) != p.argmax(-1))).mean(),
    }
    distances = [np.abs(s.max(-1) - settings.threshold) for s in (r, p)]
    margin = min(distances[0].min(), distances[1].min(), _lead(p).min(), _lead(r)[taken].min(initial=1))
    return Pseudo(r.argmax(-1), taken, shares=shares, margin=margin)


def _lead(scores: np.ndarray) -> np.ndarray:
    """By how much the largest channel exceeds the next."""
    ordered = np.sort(scores, axis=-1)
    return ordered[..., -1] - ordered[..., -2]


def labelled_loss(logits: np.ndarray, labels: np.ndarray, ignored: int) -> tuple[float, float]:
    """Mean cross entropy, and accuracy, of logits enlarged to the labels, over the pixels that count."""
    logits, valid = enlarge(logits, labels.shape[1] // logits.shape[1]), labels != ignored
    losses = cross_entropies(logits, np.where(valid, labels, 0))
    return losses[valid].mean(), (logits.argmax(-1) == labels)[valid].mean()


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -np.log(np.take_along_axis(softmax(logits), labels[..., None], axis=-1))[..., 0]


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    return -(probabilities * np.log(probabilities)).sum(-1)


def forward(
    weights: Weights, images: np.ndarray, heads: tuple[str, ...], after: Weights, *, pooled: bool = False
) -> Views:
    """Logits of one view at stride 4, or 8 where features are pooled; moving statistics go into `after`."""

    def normalise(x: np.ndarray, layer: str) -> np.ndarray:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        for name, value in (("moving_mean", mean), ("moving_variance", variance)):
            before = after[f"{layer}/{name}"]
            after[f"{layer}/{name}"] = MOMENTUM * before + (1 - MOMENTUM) * value
        scaled = (x - mean) / np.sqrt(variance + EPSILON)
        return scaled * weights[f"{layer}/gamma"] + weights[f"{layer}/beta"]

    def apply(operation, x: np.ndarray, layer: str, largest: float = np.inf) -> np.ndarray:
        return normalise(operation(x, weights[f"{layer}/kernel"]), f"{layer}_norm").clip(0, largest)

    low = apply(patches, images / 127.5 - 1, "stem/patches")
    logits = {}
    for head in heads:
        x = apply(depthwise, low, f"{head}/tail/depthwise", 6)
        x = apply(patches, x, f"{head}/tail/halving")
        x = np.concatenate([enlarge(x, 2), low], axis=-1)
        x = apply(convolve, x, f"{head}/decoder/fusion")
        if pooled:
            batch, height, width, channels = x.shape
            x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))
        classifier = f"{head}/classifier/logits"
        logits[head] = x @ weights[f"{classifier}/kernel"][0, 0] + weights[f"{classifier}/bias"]
    return logits


def patches(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution of patches side by side: the stride is the size of the kernel."""
    size, _, channels, _ = kernel.shape
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height // size, size, width // size, size, channels)
    return np.tensordot(x.swapaxes(2, 3), kernel, 3)


def convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """3 x 3 convolution with stride 1, zeros around the image."""
    return np.tensordot(_neighbourhoods(x), kernel.transpose(2, 0, 1, 3), 3)


def depthwise(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The same, each channel by itself; kernel `(3, 3, channels, 1)`."""
    return np.einsum("nyxcij,ijc->nyxc", _neighbourhoods(x), kernel[..., 0])


def _neighbourhoods(x: np.ndarray) -> np.ndarray:
    return sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2))


def enlarge(x: np.ndarray, factor: int) -> np.ndarray:
    """Bilinear, half-pixel centres; beyond the border the last value."""
    for axis in (1, 2):
        count = x.shape[axis]
        at = ((np.arange(count * factor) + 0.5) / factor - 0.5).clip(0, count - 1)
        lower = np.minimum(at.astype(int), count - 2)
        matrix = np.zeros((count * factor, count))
        matrix[np.arange(count * factor), lower] = 1 - (at - lower)
        matrix[np.arange(count * factor), lower + 1] = at - lower
        x = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
    return x


def strong_view(images: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Colour jitter in HSV, grayscale and blur, image by image."""
    views = []
    for image, (brightness, contrast, saturation, hue, grayscale, blur) in zip(
        np.float64(images), np.float64(parameters), strict=True
    ):
        view = (image * brightness).clip(0, 255)
        view = (view * contrast + grey(view).mean() * (1 - contrast)).clip(0, 255)
        view = (view * saturation + grey(view) * (1 - saturation)).clip(0, 255)
        colours = rgb_to_hsv(view / 255)
        colours[..., 0] = (colours[..., 0] + hue) % 1
        view = hsv_to_rgb(colours) * 255
        view = np.repeat(grey(view), 3, axis=-1) if grayscale else view
        views.append(cv2.GaussianBlur(view, (5, 5), 0) if blur else view)
    return np.stack(views)


def grey(image: np.ndarray) -> np.ndarray:
    return image @ np.array([[0.299], [0.587], [0.114]])
