"""What flows through the network in a step, with the meaning of each axis."""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.budget.fitting import Sizes
from usrn_keras.budget.passes import Pass, passes
from usrn_keras.methods import USRN, Supervised

AXES = ("batch", "height", "width", "channels")


@dataclass(frozen=True)
class Flow:
    """A tensor of a step.

    Args:
        name: What it is.
        axes: Meaning of its axes.
        shape: Their sizes.
    """

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]


def shapes(model: Supervised | USRN, sizes: Sizes) -> list[Flow]:
    """The images of a step, and what each part makes of the labelled and of the unlabelled ones.

    Of the two branches, what they share is told once. The labelled logits are enlarged to the size of the
    images within their losses, a few rows at a time.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> shapes(Supervised(branch), Sizes(2, 0, 64))[-1].shape
    (2, 16, 16, 3)
    """
    views = {view.name: view for view in passes(model, sizes.crop_size, sizes.crop_size)}
    flows = _flows(views["labelled"], sizes.batch_labelled, sizes.crop_size)
    if "weak" in views:  # of the strong view as well; F_sub may see the weak one alone
        unlabelled = _flows(views["weak"], sizes.batch_unlabelled, sizes.crop_size)
        flows += [flow for flow in unlabelled if "images" in flow.name or "logits" in flow.name]
    return flows


NAMES = {
    "stem": "low-level features",
    "tail": "high-level features",
    "decoder": "decoder features",
    "classifier": "logits",
}


def _flows(view: Pass, batch: int, crop: int) -> list[Flow]:
    flows = [Flow(f"{view.images}: images", AXES, (batch, crop, crop, 3))]
    for part in view.parts:
        branch = "" if part.branch == "both" else f" of {part.branch}"
        last = {"F": "classes", "F_sub": "subclasses"}[part.branch] if part.name == "classifier" else AXES[-1]
        shape = (batch, *part.output.shape[1:])
        flows.append(Flow(f"{view.images}: {NAMES[part.name]}{branch}", (*AXES[:-1], last), shape))
    return flows
