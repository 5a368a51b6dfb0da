"""Features of a frozen backbone: computed in each step, or once and kept in files of the run folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras._version import NUMERICS
from usrn_keras.data import Dataset, Sample
from usrn_keras.data.batches.feature_batches import FeatureSource
from usrn_keras.data.batches.feature_files import FeatureFiles, Maps
from usrn_keras.data.sample_images import read_sample_image, sample_size
from usrn_keras.data.views.feature_view import LOW_STRIDE, FeatureView
from usrn_keras.errors import DivergedError, RecipeError, StorageError
from usrn_keras.evaluation.forward import Forward
from usrn_keras.files import collect_files
from usrn_keras.methods import METHODS, Method
from usrn_keras.networks import Branch
from usrn_keras.networks.operations import HEADS, PARTS
from usrn_keras.progress import Progress
from usrn_keras.recipe import Recipe
from usrn_keras.runs import Run
from usrn_keras.subclasses.extract_features import weights_digest
from usrn_keras.subclasses.feature_grid import LARGEST, contains_nan
from usrn_keras.subclasses.feature_store import format_bytes

FEATURES = "features"  # folder of the files in the run folder


class ComputedFeatures:
    """Computes the features of whole images with the frozen backbone of a branch, one image at a time.

    `features(sample, flip)` returns low-level and deepest features, `(rows, columns, channels)` float16,
    clipped to the range of float16.

    Args:
        branch: Branch whose stem and tail are frozen.
        view: Scale and padding of the images.

    Raises:
        DivergedError: A feature is NaN; raised when features are computed.
    """

    in_threads = False

    def __init__(self, branch: Branch, view: FeatureView):
        self.view = view
        self._stem = Forward(branch.stem, lambda network, images: network(images))
        self._tail = Forward(branch.tail, lambda network, low: network(low))

    def __call__(self, sample: Sample, flip: bool) -> Maps:
        image = read_sample_image(sample, at_least=self.view.long_side)
        whole = self.view.whole(image, sample_size(sample), flip=flip)
        low = self._stem(whole[None])
        return _half(low[0], sample), _half(self._tail(low)[0], sample)


def _half(features: np.ndarray, sample: Sample) -> np.ndarray:
    values = np.ascontiguousarray(np.clip(features, -LARGEST, LARGEST), np.float16)
    if contains_nan(values):
        raise DivergedError(
            f"the features of {sample.image} contain NaN",
            hint="network.weights holds numbers that are not finite; load another file.",
        )
    return values


class KeptFeatures:
    """Features in files, of images that `fill` has computed.

    Args:
        files: The files.
    """

    in_threads = True

    def __init__(self, files: FeatureFiles):
        self._files = files

    def __call__(self, sample: Sample, flip: bool) -> Maps:
        return self._files.read(sample, flip=flip)


def feature_stride(branch: Branch) -> int:
    """Stride of the deepest features of a branch."""
    low = (1, 64, 64, branch.stem.output_shape[-1])
    return LOW_STRIDE * 64 // branch.tail.compute_output_shape(low)[1]


def view_of(recipe: Recipe, branch: Branch) -> FeatureView:
    """The view of features that a recipe asks for.

    Args:
        recipe: The recipe.
        branch: A branch of its network.
    """
    views = recipe.views
    return FeatureView(views.crop_size, views.long_side, feature_stride(branch), views.flip)


def open_features(run: Run, dataset: Dataset, method: Method, progress: Progress) -> FeatureSource:
    """The features that a training stage reads, all of them computed if they are kept in files.

    Args:
        run: The run.
        dataset: The data set.
        method: Method of the stage, with the weights that it starts with.
        progress: Shows the progress.

    Returns:
        The features.

    Raises:
        StorageError: The disk has too little space. Raised before the first image.
    """
    recipe, branch = run.recipe, method.networks[0].F
    view = view_of(recipe, branch)
    computed = ComputedFeatures(branch, view)
    if recipe.views.source == "features":
        return computed
    files = FeatureFiles(run.path / FEATURES, _key(recipe, branch, view))
    files.remove_others((*dataset.labelled, *dataset.unlabelled))
    samples = [*dataset.labelled, *(dataset.unlabelled if method.inputs.reads_unlabelled else ())]
    fill(files, samples, computed, branch, progress)
    return KeptFeatures(files)


def feature_options(run: Run, dataset: Dataset, method: Method, progress: Progress) -> dict[str, Any]:
    """Arguments of `build_batches` for the features that a stage reads; none if its views are images.

    Args:
        run, dataset, method, progress: See `open_features`.
    """
    if run.recipe.views.source == "images":
        return {}
    features = open_features(run, dataset, method, progress)
    return {"features": features, "stride": feature_stride(method.networks[0].F)}


def computed_features(recipe: Recipe, method: Method) -> dict[str, Any]:
    """Arguments of `build_batches` for features that are computed in each step, without a run folder.

    Args:
        recipe: The recipe.
        method: Method whose backbone computes them.
    """
    if recipe.views.source == "images":
        return {}
    branch = method.networks[0].F
    return {"features": ComputedFeatures(branch, view_of(recipe, branch)), "stride": feature_stride(branch)}


def _key(recipe: Recipe, branch: Branch, view: FeatureView) -> dict[str, Any]:
    """Everything that the features of an image depend on, beside the image."""
    network = recipe.network.model_dump()
    names = ("architecture", "backbone", "width", "backbone_end", "output_stride")
    return {
        "weights": [weights_digest(part) for part in (branch.stem, branch.tail)],
        **{name: network[name] for name in names},
        "bands": recipe.data.bands,
        "value_range": recipe.data.value_range,
        "long_side": view.long_side,
        "smallest_side": view.crop_size,
        "mirrored": view.flip > 0,
        "precision": recipe.training.precision,
        "backend": keras.backend.backend(),
        "numerics": NUMERICS,
    }


def fill(
    files: FeatureFiles,
    samples: Sequence[Sample],
    computed: ComputedFeatures,
    branch: Branch,
    progress: Progress,
) -> None:
    """Compute the features of each image that has no file, or whose file has changed.

    Args:
        files: The files.
        samples: The images.
        computed: Computes the features.
        branch: Branch that computes them.
        progress: Shows the progress, and logs the size of the files before the first one is written.

    Raises:
        StorageError: The disk has too little space.
    """
    with progress.task("features: check", total=len(samples)) as task:
        missing = []
        for sample in samples:
            if not files.is_whole(sample):
                missing.append(sample)
            task.advance()
    if not missing:
        return
    flips = (False, True)[: 1 + (computed.view.flip > 0)]
    need = len(flips) * sum(_bytes(computed.view, branch, sample) for sample in missing)
    _check_space(files.folder, need)
    progress.log(f"features of {len(missing)} images take {format_bytes(need)} in {files.folder}")
    with progress.task("features", total=len(samples), done=len(samples) - len(missing)) as task:
        for sample in missing:
            files.write(sample, [computed(sample, flip) for flip in flips])
            files.is_whole(sample)
            task.advance()


def _bytes(view: FeatureView, branch: Branch, sample: Sample) -> int:
    """Size of the features of an image in one orientation."""
    height, width = view.padded_size(*sample_size(sample))
    channels = branch.stem.output_shape[-1], branch.tail.output_shape[-1]
    strides = LOW_STRIDE, view.stride
    pairs = zip(channels, strides, strict=True)
    return sum(2 * (height // stride) * (width // stride) * count for count, stride in pairs)


def _check_space(folder: Path, need: int) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if need > free:
        raise StorageError(
            f"the features need {format_bytes(need)} in {folder}, {format_bytes(free)} are free",
            hint="Free disk space, use another folder, lower views.long_side, set views.flip = 0 (half the "
            "size), or compute the features in every step: views.source = 'features'.",
        )


def link_features(run: Run, donor: Run) -> int:
    """Link the feature files of another run, whose names say what they are, and return their number.

    Args:
        run: The run, locked by this process.
        donor: The other run.
    """
    if run.recipe.views.source != "cached_features" or not (donor.path / FEATURES).is_dir():
        return 0
    (run.path / FEATURES).mkdir(exist_ok=True)
    count = 0
    for file in collect_files(donor.path / FEATURES):
        place = run.path / FEATURES / file.name
        if file.suffix == ".f16" and not place.exists():
            try:
                os.link(file, place)
            except OSError:  # another disk: they are computed again
                continue
            count += 1
    return count


def validate_features(recipe: Recipe, method: type[Method]) -> None:
    """Raise a `RecipeError` where the method cannot be trained on features.

    Args:
        recipe: The recipe.
        method: Its method.
    """
    if recipe.views.source != "images" and not method.takes_features:
        names = [name for name, one in METHODS.items() if one.takes_features]
        raise RecipeError(
            f"views.source = {recipe.views.source!r} is not possible with training.method = "
            f"{recipe.training.method!r}; allowed: {', '.join(names)}",
            hint="Choose one of these methods, or set views.source = 'images'.",
        )


def parts_of_a_step(recipe: Recipe) -> tuple[str, ...]:
    """Parts of the networks that a training step runs: not the backbone if its features are kept.

    Args:
        recipe: The recipe.
    """
    return HEADS if recipe.views.source == "cached_features" else PARTS
