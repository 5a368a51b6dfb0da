"""Labels and losses of a host with F and F_sub in plain numpy, and logits to compute them from."""

from __future__ import annotations

import numpy as np
from keras import ops

from tests.methods.handmade import CLASSES, PARENTS, SUBCLASSES

IMAGES, SIZE = 2, 8


def drawn(seed: int) -> np.ndarray:
    """Logits of both heads, `(images, size, size, classes + subclasses)`."""
    shape = (IMAGES, SIZE, SIZE, CLASSES + SUBCLASSES)
    return (2 * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(np.float64(logits) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def taught(logits: np.ndarray, gate: str, on_disagreement: str) -> dict[str, np.ndarray]:
    """Label, confidence and whether it may teach, of F and of F_sub: Eqs. 4 to 6 pixel by pixel."""
    p, q = softmax(logits[..., :CLASSES]), softmax(logits[..., CLASSES:])
    entropies = [-(x * np.log(x)).sum(-1) / np.log(x.shape[-1]) for x in (p, q)]
    is_open = np.ones(p.shape[:-1], bool) if gate == "off" else entropies[1] <= entropies[0]
    mask = np.eye(CLASSES)[np.array(PARENTS)[q.argmax(-1)]]
    r = np.where(is_open[..., None], p * mask, np.zeros_like(p) if gate == "stop" else p)
    may = r.max(-1) > 0
    if on_disagreement == "drop":
        may &= r.argmax(-1) == p.argmax(-1)
    return {
        "label": r.argmax(-1), "confidence": r.max(-1), "may": may, "own": p.max(-1),
        "sublabel": q.argmax(-1), "sub_confidence": q.max(-1), "open": is_open,
    }  # fmt: skip


def mean_loss(logits: np.ndarray, labels: np.ndarray, kept: np.ndarray, pixels: float) -> float:
    chosen = np.take_along_axis(softmax(logits), labels[..., None], -1)[..., 0]
    return float((-np.log(chosen) * kept).sum() / pixels)


def values_of(terms: dict) -> dict[str, float]:
    return {name: float(ops.convert_to_numpy(value)) for name, value in terms.items()}
