"""Batches of labelled and unlabelled views, determined by the seed and the step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.batches.sample_reader import SampleReader
from usrn_keras.data.dataset import Sample
from usrn_keras.data.masks import Rules
from usrn_keras.data.views.crop_pair import overlaps, second_window
from usrn_keras.data.views.weak_view import WeakView, Window
from usrn_keras.errors import DataError

if TYPE_CHECKING:
    from usrn_keras.data.views.random_intensity import RandomIntensity
    from usrn_keras.strong_view import StrongView

# Purposes of random numbers, each with its own generator.
LABELLED, UNLABELLED, LABELLED_ORDER, UNLABELLED_ORDER, STRONG, LABELLED_COLOUR = range(6)
DONOR, DONOR_ORDER, DONOR_STRONG, BOXES = range(6, 10)
STRONG_2, DONOR_STRONG_2, BOXES_2, DRAWS = range(10, 14)
PAIR, PAIR_STRONG = range(14, 16)
PSEUDO, PSEUDO_ORDER, PSEUDO_COLOUR = range(16, 19)

PURPOSES_OF_BOXES = {"boxes": BOXES, "boxes_2": BOXES_2}


class UnlabelledStream(NamedTuple):
    """Names of the arrays of an unlabelled stream, and the purposes of its random numbers.

    There may be several strong views; `strong` names each with the purpose of its colours.
    """

    weak: str
    views: int
    order: int
    strong: dict[str, int]


OWN_STREAM = UnlabelledStream("weak", UNLABELLED, UNLABELLED_ORDER, {"strong": STRONG, "strong_2": STRONG_2})
DONOR_STREAM = UnlabelledStream(
    "donor", DONOR, DONOR_ORDER, {"donor_strong": DONOR_STRONG, "donor_strong_2": DONOR_STRONG_2}
)


class Batches:
    """Batches of weak views and of the parameters of strong views.

    `batch(step)` depends only on the arguments and on `step`: batches do not depend on the number of workers,
    and training resumes at any step. The order of labelled and of unlabelled images is shuffled in every
    epoch of each list. A list shorter than a batch repeats within the batch.

    Args:
        labelled: Samples with masks, all or none of them with sublabels.
        unlabelled: Samples of which only the images are read.
        pseudo: Unlabelled samples with pseudo masks, files of class ids and `ignore_index`; read with
            `spec.pseudo`.
        batch_labelled: Number of labelled samples in a batch.
        batch_unlabelled: Number of unlabelled samples in a batch, with or without pseudo masks.
        weak_labelled: Weak view of the labelled images, and of those with pseudo masks.
        weak_unlabelled: Weak view of the unlabelled images.
        strong: Distribution of the strong views of the unlabelled images; None for no strong view.
        strong_on_host: Function from weak views `(U, h, w, bands)` uint8 and their parameters to strong
            views, such as `KerasCVView()`, called by several workers at once; None to compute them on the
            device.
        labelled_view: Distribution of a colour view of the labelled images; None for no colour view.
        spec: Contents of a batch; None for labelled images, and weak and strong views of unlabelled ones.
        ignore_index: Label of pixels without a class, as in `Dataset`.
        id_map: Class id of each mask value, as in `Dataset`.
        colour_map: Class id of each mask colour, as in `Dataset`.
        mask_threshold: Largest grey value of class 0 in masks of two classes, as in `Dataset`.
        num_classes: Number of classes, to check the ids in masks; None skips the check.
        parents: Class of each subclass, `(subclasses,)`, to check sublabels against labels when their file is
            read; None skips the check.
        seed: Seed of the orders and views.
        workers: Number of threads that compute batches in `iterate`; with 0 they are computed on demand.
        prefetch: Number of batches that are computed ahead; None for twice the workers, at least 4.
        cache_bytes: Memory for decoded files in bytes.
        part: Number of this process and number of the processes that share each batch: it holds every view of
            its part of the images alone. The batch sizes are those of the whole batch.

    Raises:
        ValueError: A batch size or `weak_unlabelled` is invalid, or contradicts `spec`.
        DataError: Samples are missing, or lack masks or sublabels.

    Example:

    >>> batches = Batches(
    ...     labelled=dataset.labelled, batch_labelled=8, weak_labelled=WeakView(320, 400), seed=0
    ... )                                                             # doctest: +SKIP
    >>> for batch in batches.iterate(0, 1000):                        # doctest: +SKIP
    ...     train_on(batch["labelled"], batch["labels"])
    """

    def __init__(
        self,
        *,
        labelled: Sequence[Sample],
        unlabelled: Sequence[Sample] = (),
        pseudo: Sequence[Sample] = (),
        batch_labelled: int,
        batch_unlabelled: int = 0,
        weak_labelled: WeakView,
        weak_unlabelled: WeakView | None = None,
        strong: StrongView | RandomIntensity | None = None,
        strong_on_host: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        labelled_view: StrongView | None = None,
        spec: BatchSpec | None = None,
        ignore_index: int = 255,
        id_map: np.ndarray | None = None,
        colour_map: np.ndarray | None = None,
        mask_threshold: int | None = None,
        num_classes: int | None = None,
        parents: np.ndarray | None = None,
        seed: int,
        workers: int = 2,
        prefetch: int | None = None,
        cache_bytes: int = 512 * 2**20,
        part: tuple[int, int] = (0, 1),
    ):
        if spec is None:
            spec = BatchSpec(unlabelled=batch_unlabelled > 0, strong=1)
        _check(labelled, pseudo if spec.pseudo else unlabelled, batch_labelled, batch_unlabelled)
        if spec.reads_unlabelled != (batch_unlabelled > 0):
            raise ValueError(
                f"`batch_unlabelled` must be {'above 0' if spec.reads_unlabelled else '0'} with "
                f"`spec.unlabelled` = {spec.unlabelled} and `spec.pseudo` = {spec.pseudo}, received "
                f"{batch_unlabelled}"
            )
        if spec.unlabelled and weak_unlabelled is None:
            raise ValueError("`weak_unlabelled` is required if `batch_unlabelled` is above 0")
        self.labelled = tuple(labelled)
        self.unlabelled = tuple(unlabelled)
        self.batch_labelled = batch_labelled
        self.batch_unlabelled = batch_unlabelled
        self.weak_labelled = weak_labelled
        self.weak_unlabelled = weak_unlabelled
        self.strong = strong if spec.strong else None
        self.strong_on_host = strong_on_host
        self.labelled_view = labelled_view
        self.spec = spec
        self.pseudo = tuple(pseudo) if spec.pseudo else ()
        self.unlabelled_streams = (OWN_STREAM, DONOR_STREAM)[: spec.unlabelled * (1 + spec.donor)]
        self.seed = seed
        self.workers = workers
        self.part = part
        self.prefetch = max(4, 2 * workers) if prefetch is None else prefetch
        views = [view for view in (weak_labelled, weak_unlabelled) if view is not None]
        self._reader = SampleReader(
            Rules(num_classes, ignore_index, id_map, colour_map, mask_threshold),
            parents=parents,
            at_least=max(view.largest for view in views),
            cache_bytes=cache_bytes,
        )

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Compute the batch of a step.

        Args:
            step: Number of the step, from 0.

        Returns:
            Arrays by name. B and U are `batch_labelled` and `batch_unlabelled`, h and w the size of the crop:

            - `labelled` `(B, h, w, bands)` uint8 and `labels` `(B, h, w)` int32 with `ignore_index`;
            - `sublabels` `(B, h, w)` int32, -1 where ignored, if the samples have them;
            - `labelled_parameters` `(B, P)` float32 with a `labelled_view`;
            - with `batch_unlabelled`: `weak` `(U, h, w, bands)` uint8;
            - with a `strong` view in `spec`: `strong` `(U, h, w, bands)` uint8 if it is computed on the
              host;
            - otherwise `strong_parameters` `(U, P)` float32 for `usrn_keras.strong_view.strong_view`;
            - with two strong views in `spec`: the same for the second, `strong_2` or `strong_2_parameters`;
            - with `spec.donor`: the same of other unlabelled images, `donor`, `donor_strong` or
              `donor_strong_parameters`;
            - with `spec.filled`: `weak_filled` and `donor_filled` `(U, 4)` int32, top, left, bottom and right
              of the part of the view that is image;
            - with `spec.boxes`: `boxes` `(U, n, 4)` int32, see `usrn_keras.data.views.cutmix_boxes`, and with
              `spec.boxes_2` `boxes_2`;
            - with `spec.draws`: `draws` `(U, n)` float32, uniform in 0..1;
            - with `spec.pair`: a second crop of the same images, `pair`, with `pair_strong` or
              `pair_strong_parameters`, and `overlap_1`, `overlap_2` `(U, P)` int32 and `overlap_valid`
              `(U, P)` bool, see `usrn_keras.data.views.crop_pair.overlap`;
            - with `spec.pseudo`: `pseudo` `(U, h, w, bands)` uint8, `pseudo_labels` and, if the samples have
              them, `pseudo_sublabels` as for labelled images, and `pseudo_parameters` `(U, P)` float32 of a
              strong view with `spec.strong`, otherwise of the `labelled_view`.

        Raises:
            DataError: A file cannot be read, sizes differ, ids are outside the classes, or sublabels
                disagree with labels.
        """
        arrays = self._labelled_arrays(step)
        for stream in self.unlabelled_streams:
            arrays |= self._unlabelled_arrays(step, stream)
        if self.spec.pair:
            arrays |= self._pair_arrays(step)
        if self.pseudo:
            arrays |= self._pseudo_arrays(step)
        for name, boxes in self.spec.boxes_by_name.items():
            rng = np.random.default_rng([self.seed, PURPOSES_OF_BOXES[name], step])
            drawn = boxes.draw(rng, self.batch_unlabelled, *arrays["weak"].shape[1:3])
            arrays[name] = self._own_rows(drawn)
        if self.spec.draws:
            rng = np.random.default_rng([self.seed, DRAWS, step])
            drawn = rng.random((self.batch_unlabelled, self.spec.draws), np.float32)
            arrays["draws"] = self._own_rows(drawn)
        return arrays

    def names(self, step: int) -> list[str]:
        """List the image files in the batch of a step, labelled images first."""
        samples = self._labelled_samples(step)
        samples += [s for stream in self.unlabelled_streams for s in self._unlabelled_samples(step, stream)]
        samples += self._pseudo_samples(step)
        return [str(sample.image) for sample in samples]

    def iterate(self, start_step: int, stop_step: int) -> Iterator[dict[str, np.ndarray]]:
        """Compute the batches of the steps `start_step` to `stop_step - 1` ahead with threads.

        An error in a thread is raised at the position of its batch. Closing the iterator stops the threads:
        pending batches are cancelled, and running ones are awaited.

        Args:
            start_step: Number of the first step.
            stop_step: Number of the step after the last.
        """
        steps = range(start_step, stop_step)
        return ordered_map(self.batch, steps, workers=self.workers, ahead=self.prefetch)

    def _labelled_arrays(self, step: int) -> dict[str, np.ndarray]:
        views = [
            self._view(self.weak_labelled, LABELLED, step, position, sample, self._reader.labelled)
            for position, sample in self._own(self._labelled_samples(step))
        ]
        keys = ["labelled", "labels", "sublabels"][: len(views[0])]
        arrays = {key: np.stack(parts) for key, parts in zip(keys, zip(*views, strict=True), strict=True)}
        if self.labelled_view is not None:
            rng = np.random.default_rng([self.seed, LABELLED_COLOUR, step])
            arrays["labelled_parameters"] = self._own_rows(self.labelled_view.draw(rng, self.batch_labelled))
        return arrays

    def _pseudo_arrays(self, step: int) -> dict[str, np.ndarray]:
        views = [
            self._view(self.weak_labelled, PSEUDO, step, position, sample, self._reader.pseudo)
            for position, sample in self._own(self._pseudo_samples(step))
        ]
        keys = ["pseudo", "pseudo_labels", "pseudo_sublabels"][: len(views[0])]
        arrays = {key: np.stack(parts) for key, parts in zip(keys, zip(*views, strict=True), strict=True)}
        view = self.strong if self.spec.strong else self.labelled_view
        if view is not None:
            rng = np.random.default_rng([self.seed, PSEUDO_COLOUR, step])
            parameters = self._own_rows(view.draw(rng, self.batch_unlabelled))
            if self.spec.strong and self.strong_on_host is not None:
                arrays["pseudo"] = self.strong_on_host(arrays["pseudo"], parameters)
            else:
                arrays["pseudo_parameters"] = parameters
        return arrays

    def _unlabelled_arrays(self, step: int, stream: UnlabelledStream = OWN_STREAM) -> dict[str, np.ndarray]:
        samples = self._unlabelled_samples(step, stream)
        views = [
            self._view(self.weak_unlabelled, stream.views, step, position, sample, self._reader.unlabelled)
            for position, sample in self._own(samples)
        ]
        arrays = {stream.weak: np.stack([image for (image,) in views])}
        if self.spec.filled:
            arrays[f"{stream.weak}_filled"] = self._filled_boxes(step, stream, samples)
        for name, purpose in list(stream.strong.items())[: self.spec.strong]:
            arrays |= self._strong_arrays(step, name, purpose, arrays[stream.weak])
        return arrays

    def _strong_arrays(self, step: int, name: str, purpose: int, weak: np.ndarray) -> dict[str, np.ndarray]:
        """A strong view of some weak views, or its parameters."""
        if self.strong is None:
            return {}
        rng = np.random.default_rng([self.seed, purpose, step])
        parameters = self._own_rows(self.strong.draw(rng, self.batch_unlabelled))
        if self.strong_on_host is None:
            return {f"{name}_parameters": parameters}
        return {name: self.strong_on_host(weak, parameters)}

    def _pair_arrays(self, step: int) -> dict[str, np.ndarray]:
        """Second crops of the unlabelled images, and the positions that they share with the first ones."""
        samples = self._unlabelled_samples(step, OWN_STREAM)
        firsts = self._windows(step, OWN_STREAM, samples)
        seconds = [
            second_window(rng, first, self.weak_unlabelled.flip)
            for rng, first in zip(self._generators(step, PAIR), firsts, strict=True)
        ]
        arrays = overlaps(firsts, seconds)
        parts = zip(seconds, (sample for _, sample in self._own(samples)), strict=True)
        arrays["pair"] = np.stack([one.cut_image(*self._reader.unlabelled(sample)) for one, sample in parts])
        return arrays | self._strong_arrays(step, "pair_strong", PAIR_STRONG, arrays["pair"])

    def _filled_boxes(self, step: int, stream: UnlabelledStream, samples: list[Sample]) -> np.ndarray:
        """Boxes `(U, 4)` of the views that are image."""
        return np.array([window.filled_box for window in self._windows(step, stream, samples)], np.int32)

    def _windows(self, step: int, stream: UnlabelledStream, samples: list[Sample]) -> list[Window]:
        """Windows of the views of a stream; the generators are those of the views."""
        return [
            self.weak_unlabelled.draw(rng, *self._reader.size(sample))
            for rng, (_, sample) in zip(self._generators(step, stream.views), self._own(samples), strict=True)
        ]

    def _generators(self, step: int, purpose: int) -> list[np.random.Generator]:
        """Random generators of the unlabelled images of this process."""
        places = self._own(range(self.batch_unlabelled))
        return [np.random.default_rng([self.seed, purpose, step, place]) for place, _ in places]

    def _own(self, items: Sequence[Any]) -> list[tuple[int, Any]]:
        """What this process computes of a batch, each with its position in the whole batch."""
        return self._own_rows(list(enumerate(items)))

    def _own_rows(self, values: Any) -> Any:
        """Rows of this process of an array or list of a whole batch."""
        number, parts = self.part
        return values[number * len(values) // parts : (number + 1) * len(values) // parts]

    def _view(self, view, stream, step, position, sample, read) -> tuple[np.ndarray, ...]:
        """Compute the weak view of one sample; unexpected errors get a note with the file name."""
        try:
            rng = np.random.default_rng([self.seed, stream, step, position])
            return view(rng, *read(sample), size=self._reader.size(sample))
        except DataError:
            raise
        except Exception as error:
            error.add_note(f"while reading {sample.image}")
            raise

    def _labelled_samples(self, step: int) -> list[Sample]:
        return self._pick(self.labelled, LABELLED_ORDER, step, self.batch_labelled)

    def _unlabelled_samples(self, step: int, stream: UnlabelledStream) -> list[Sample]:
        return self._pick(self.unlabelled, stream.order, step, self.batch_unlabelled)

    def _pseudo_samples(self, step: int) -> list[Sample]:
        return self._pick(self.pseudo, PSEUDO_ORDER, step, self.batch_unlabelled) if self.pseudo else []

    def _pick(self, samples: tuple[Sample, ...], stream: int, step: int, count: int) -> list[Sample]:
        picked = []
        for index in range(step * count, (step + 1) * count):
            epoch, position = divmod(index, len(samples))
            picked.append(samples[_order(self.seed, stream, epoch, len(samples))[position]])
        return picked


@functools.lru_cache(maxsize=16)
def _order(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, epoch]).permutation(count)


def _check(labelled, unlabelled, batch_labelled, batch_unlabelled) -> None:
    if batch_labelled < 1 or batch_unlabelled < 0:
        raise ValueError(
            f"`batch_labelled` must be at least 1 and `batch_unlabelled` at least 0, "
            f"received {batch_labelled} and {batch_unlabelled}"
        )
    if not labelled:
        raise DataError("`labelled` is empty: there are no labelled images")
    if batch_unlabelled and not unlabelled:
        raise DataError(f"there are no unlabelled images, but a batch needs {batch_unlabelled}")
    without_mask = [str(sample.image) for sample in labelled if sample.mask is None]
    if without_mask:
        raise DataError("labelled images must have masks; these have none:", errors=without_mask[:20])
    if len({sample.sublabels is None for sample in labelled}) > 1:
        raise DataError("some labelled images have sublabels and some do not: all or none must have them")
