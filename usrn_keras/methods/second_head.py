"""USRN on top of another method: what F_sub adds to the labels and the losses of a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from usrn_keras.losses.pseudo_labels import Gate, validate_gate

ON_DISAGREEMENT = ("drop", "override")


@dataclass(frozen=True)
class SecondHead:
    """Settings of USRN as a plug-in, `training.with_usrn = true`.

    Every network of the host has an F_sub. Where F learns masks, F_sub learns sublabels. Where the host
    teaches F by the labels of a network on some view, F_sub is taught by the confident subclass labels of the
    same network on the same view. The labels that teach F are corrected by Eqs. 4 and 6 of USRN:

        q = softmax(p) * onehot(parents[argmax softmax(p_sub)])   where the entropy gate is open
        q = softmax(p)                                            where it is closed

    A pixel has the label argmax q and the confidence max q. Above a confidence threshold of one half, the
    correction can only drop labels. A host without such a threshold needs a decision for pixels where q and p
    have different labels: `drop` them, or `override` the label.

    Args:
        parents: Class of each subclass, `(subclasses,)` int.
        threshold: Confidence gamma that a label of F_sub must exceed to teach F_sub.
        lambda_sub: Weight of the losses of F_sub.
        gate: Treatment of the pixels where the entropy gate is closed, see `usrn_keras.losses.pseudo_labels`.
        on_disagreement: Treatment of the pixels whose corrected label is not that of F: `drop` or `override`.
        sub_head: Initial classifier of F_sub if training starts from the Baseline: `random`, or the cluster
            `centroids`.

    Raises:
        ValueError: `gate` or `on_disagreement` is unknown.
    """

    parents: Sequence[int]
    threshold: float = 0.75
    lambda_sub: float = 1.0
    gate: Gate = "fallback"
    on_disagreement: str = "drop"
    sub_head: str = "random"

    def __post_init__(self):
        validate_gate(self.gate)
        if self.on_disagreement not in ON_DISAGREEMENT:
            raise ValueError(
                f"`on_disagreement` must be one of {', '.join(ON_DISAGREEMENT)}, received "
                f"{self.on_disagreement!r}"
            )
        object.__setattr__(self, "parents", tuple(int(parent) for parent in self.parents))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments as JSON values."""
        return asdict(self) | {"parents": list(self.parents)}
