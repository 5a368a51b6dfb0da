"""Memory of a training step at its worst moment, from what was counted. Needs no Keras."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from usrn_keras.budget.calibration import Calibration


@dataclass(frozen=True)
class Memory:
    """Bytes that are held at the worst moment of a step.

    Args:
        process: The process as it was before there was a network, and what the first step adds for good.
        state: Weights, what the optimizer keeps for them, and gradients that are being accumulated.
        gradients: Of the weights.
        activations: What layers leave for the way back.
        workspace: The largest layer at work, and the losses; or the compiler, if that is the worst moment.
        images: Decoded images, and batches that are made ahead.
    """

    process: float
    state: float
    gradients: float
    activations: float
    workspace: float
    images: float = 0

    @property
    def peak(self) -> float:
        """All of it."""
        return sum(asdict(self).values())


@dataclass(frozen=True)
class ImageMemory:
    """What one image of a pass needs, bytes as they are counted.

    Args:
        kept: Left in the network for the gradients.
        work: Of the largest layer.
        logits: As the classifiers give them.
    """

    kept: int
    work: int
    logits: int


@dataclass(frozen=True)
class Footprint:
    """What the memory of a step is made of: of any number of images of one size.

    Args:
        weights: Bytes of all variables of the network.
        trainable: Bytes of those that are trained; their gradients and momentum are as large.
        calls: Calls of layers in a step.
        labelled: Of an image of the labelled pass.
        strong: Of an image of the strong view; None for the Baseline.
    """

    weights: int
    trainable: int
    calls: int
    labelled: ImageMemory
    strong: ImageMemory | None

    def memory(
        self,
        batch_labelled: int,
        batch_unlabelled: int,
        numbers: Calibration,
        *,
        accumulation: int = 1,
        adaptive: bool = False,
        process: float | None = None,
        images: float = 0,
    ) -> Memory:
        """The worst moment: in the compiler, in the labelled part, in the unlabelled one, or in the update.

        Where the two parts follow each other, what one keeps is gone when the other is at work.

        Args:
            batch_labelled, batch_unlabelled: Images in a batch.
            numbers: Those of the backend.
            accumulation: Batches per update; with more than one, the sums of gradients are kept.
            adaptive: Whether the optimizer keeps the mean squares of whole gradients, as AdamW does.
            process: Bytes that the process held before there was a network; None for what it usually holds.
            images: Bytes of decoded images and of batches made ahead.
        """
        process = numbers.process if process is None else process
        process += numbers.start
        whole = adaptive or accumulation > 1  # else gradients go into the momentum as they come
        kept = self.trainable * (1 + adaptive + (accumulation > 1))
        state = numbers.state * (self.weights + kept)
        gradients = self.trainable * (1 if whole else numbers.gradients)
        moments = [(0, 0, numbers.call * self.calls), (gradients, 0, 0)]  # compiling, and the update
        labelled = _part(self.labelled, batch_labelled, gradients, numbers, numbers.labelled_logits)
        moments.append(labelled)
        if self.strong is not None:
            part = _part(self.strong, batch_unlabelled, gradients, numbers, numbers.unlabelled_logits)
            moments.append((gradients, part[1] + numbers.overlap * labelled[1], part[2]))
        return Memory(process, state, *max(moments, key=sum), images)


def _part(
    image: ImageMemory, batch: int, gradients: float, numbers: Calibration, losses: float
) -> tuple[float, float, float]:
    """Gradients, activations and workspace in one part of the objective."""
    kept = numbers.kept * image.kept * batch
    return gradients, kept, (numbers.work * image.work + losses * image.logits) * batch
