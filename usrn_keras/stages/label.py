"""The labelling stage: pseudo masks of the unlabelled images from the predictions of a trained model.

The first pass predicts and stores labels and confidences of each image, and counts the confidences of each
class. Quotas and thresholds follow from the counts, exactly. The second pass reads the stored arrays and
writes the masks, without the network. An interrupted stage resumes at the image where it stopped.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data import Dataset, Sample, read_mask, read_sample_image
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.files import atomic_path, read_json, write_json
from usrn_keras.progress import Progress
from usrn_keras.pseudo_masks.corrected_labels import aligned
from usrn_keras.pseudo_masks.pseudo_mask_files import MASKS, SUBLABELS, Thresholds, write_pseudo_masks
from usrn_keras.pseudo_masks.quotas import class_quotas, class_shares, equal_quotas, rate_quotas
from usrn_keras.pseudo_masks.score_files import (
    SCORES,
    ScoredImage,
    check_score_space,
    read_scores,
    score_file,
    total_pixels,
    write_scores,
)
from usrn_keras.pseudo_masks.selection import VALUES, count_confidences, thresholds
from usrn_keras.recipe.stage_plan import Label
from usrn_keras.runs import Run
from usrn_keras.stages.stage_files import label_products
from usrn_keras.stages.teacher import Teacher
from usrn_keras.subclasses.feature_grid import class_pixels
from usrn_keras.subclasses.feature_store import format_bytes

REPORT = "labels.json"  # written when all masks are
KEY, MEANS = "key.json", "means"


def label(run: Run, folder: str, dataset: Dataset, progress: Progress, log: Callable[[str], None]) -> None:
    """Write `masks/NAME.png` of each unlabelled image, and with an F_sub `sublabels/NAME.png`.

    `labels.json` says for each class how many pixels were predicted, the quota, the threshold, and how many
    pixels were kept.

    Args:
        run: The run.
        folder: Folder of the stage.
        dataset: The data set.
        progress: Shows the progress.
        log: Receives one line at a time.

    Raises:
        DataError: An image or a mask cannot be read.
        StorageError: The disk has too little space.
    """
    place, started = run.stage(folder), time.monotonic()
    resumed = (place / SCORES).exists()
    if not (place / REPORT).exists():
        write_json(place / REPORT, _Labelling(run, folder, dataset, progress, log).run())
    shutil.rmtree(place / SCORES, ignore_errors=True)
    report = read_json(place / REPORT)
    log(_summary(folder, report))
    run.complete(
        folder,
        label_products(run, folder),
        images=len(dataset.unlabelled),
        kept=report["kept_share"],
        seconds=round(time.monotonic() - started, 3),
        resumed=resumed,
    )


class _Labelling:
    """Both passes of a stage. The arguments are those of `label`."""

    def __init__(
        self, run: Run, folder: str, dataset: Dataset, progress: Progress, log: Callable[[str], None]
    ):
        self.stage: Label = run.plan[folder]
        self.name, self.place = folder, run.stage(folder)
        self.dataset, self.samples = dataset, dataset.unlabelled
        self.classes = len(dataset.classes)
        self.workers, self.seed = run.recipe.data.workers, run.recipe.training.seed
        self.progress, self.log = progress, log
        self.teacher = Teacher(run, self.stage.teacher, dataset)
        self._start_again_if_changed()

    def run(self) -> dict[str, Any]:
        """Write the masks; returns the contents of `labels.json`."""
        pixels = total_pixels(self.samples)
        labelled = self._labelled_pixels()
        counts, sub_counts = self._predict(labelled, pixels)
        classes = _cut(counts, self._quotas(labelled, counts, pixels))
        subclasses = None
        if sub_counts is not None:
            subclasses = _cut(sub_counts, equal_quotas(len(sub_counts), self.stage.amount, pixels))
        with self.progress.task(f"{self.name}: masks", total=len(self.samples)) as task:
            kept, sub_kept = write_pseudo_masks(
                self.place,
                self.samples,
                classes,
                subclasses,
                ignore_index=self.dataset.ignore_index,
                seed=self.seed,
                workers=self.workers,
                done=task.advance,
            )
        names = self.dataset.classes
        report = {"pixels": pixels, "kept_share": round(float(kept.sum()) / pixels, 6)}
        report |= {"teacher": self.stage.teacher, **self.teacher.describe()}
        report["classes"] = dict(zip(names, _rows(classes, kept), strict=True))
        if subclasses is not None:
            report["subclasses"] = _rows(subclasses, sub_kept)
        return report

    def _start_again_if_changed(self) -> None:
        """Delete what another teacher, or other options, have left."""
        key = self.teacher.describe() | {"images": [sample.name for sample in self.samples]}
        file = self.place / KEY
        if file.exists() and read_json(file) != key:
            for name in (SCORES, MEANS, MASKS, SUBLABELS):
                shutil.rmtree(self.place / name, ignore_errors=True)
        write_json(file, key)

    def _labelled_pixels(self) -> np.ndarray:
        """Number of labelled pixels of each class, `(C,)`."""
        read = functools.partial(read_mask, rules=self.dataset)
        masks = (sample.mask for sample in self.dataset.labelled)
        found = ordered_map(read, masks, workers=self.workers, ahead=2 * self.workers)
        return sum(class_pixels([mask], self.classes) for mask in found)

    def _quotas(self, labelled: np.ndarray, counts: np.ndarray, pixels: int) -> np.ndarray:
        predicted = counts.sum(axis=1)
        if self.stage.rule == "quotas":
            return class_quotas(labelled, self.stage.amount, pixels)
        if self.stage.rule == "rates":
            return rate_quotas(labelled, self.stage.amount, predicted)
        return predicted

    def _predict(self, labelled: np.ndarray, pixels: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Store the scores of each image that has none; returns the counts of all confidences."""
        done = [sample for sample in self.samples if score_file(self.place, sample).exists()]
        todo = [sample for sample in self.samples if not score_file(self.place, sample).exists()]
        with_sub = self.teacher.subclasses > 0
        need = check_score_space(self.place, pixels, total_pixels(done), with_sub=with_sub)
        if todo:
            self.log(
                f"{self.name}: labels and confidences of {len(self.samples)} images take "
                f"{format_bytes(need)} in {self.place / SCORES}, deleted when the masks are written"
            )
        counts = np.zeros((self.classes, VALUES), np.int64)
        sub_counts = np.zeros((self.teacher.subclasses, VALUES), np.int64) if with_sub else None
        correct = self._correction(labelled)
        with self.progress.task(self.name, total=len(self.samples), done=len(done)) as task:
            for scored in self._scored(done, todo, correct, task.advance):
                counts += count_confidences(scored.labels, scored.confidence, self.classes)
                if sub_counts is not None:
                    sub_counts += count_confidences(
                        scored.sublabels, scored.sub_confidence, self.teacher.subclasses
                    )
        return counts, sub_counts

    def _scored(
        self,
        done: Sequence[Sample],
        todo: Sequence[Sample],
        correct: Callable[[np.ndarray], np.ndarray],
        advance: Callable[[], None],
    ) -> Iterator[ScoredImage]:
        """The scores of all images: those on disk are read, the others predicted and written."""
        yield from (read_scores(score_file(self.place, sample)) for sample in done)
        for sample, image in self._images(todo):
            scored = self.teacher.label(image, correct)
            write_scores(score_file(self.place, sample), scored)
            yield scored
            advance()

    def _correction(self, labelled: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Distribution alignment, if the stage asks for it: it needs the mean prediction of all images."""
        if self.stage.temperature is None:
            return lambda probabilities: probabilities
        mean = self._mean_prediction()
        prior = class_shares(labelled)
        return lambda probabilities: aligned(probabilities, prior, mean, self.stage.temperature)

    def _mean_prediction(self) -> np.ndarray:
        """Mean class probabilities over all unlabelled pixels, `(C,)`; sums of each image are stored."""
        todo = [sample for sample in self.samples if not self._means_file(sample).exists()]
        done = len(self.samples) - len(todo)
        with self.progress.task(f"{self.name}: class shares", total=len(self.samples), done=done) as task:
            for sample, image in self._images(todo):
                sums = self.teacher.probabilities(image).sum(axis=(0, 1), dtype=np.float64)
                with atomic_path(self._means_file(sample)) as temporary:
                    np.save(temporary, sums)
                task.advance()
        total = sum(np.load(self._means_file(sample)) for sample in self.samples)
        return total / total.sum()

    def _means_file(self, sample: Sample) -> Path:
        return self.place / MEANS / f"{sample.name}.npy"

    def _images(self, samples: Sequence[Sample]) -> Iterator[tuple[Sample, np.ndarray]]:
        read = ordered_map(
            read_sample_image,
            samples,
            workers=self.workers,
            ahead=2 * self.workers,
        )
        return zip(samples, read, strict=True)


def _cut(counts: np.ndarray, quotas: np.ndarray) -> Thresholds:
    return Thresholds(counts.sum(axis=1), quotas, *thresholds(counts, quotas))


def _rows(found: Thresholds, kept: np.ndarray) -> list[dict[str, Any]]:
    """One row of `labels.json` for each class."""
    values = zip(found.predicted, found.quotas, found.confidence, kept, strict=True)
    return [
        {
            "predicted": int(predicted),
            "quota": int(quota),
            "threshold": float(threshold) if np.isfinite(threshold) else None,
            "kept": int(count),
        }
        for predicted, quota, threshold, count in values
    ]


def _summary(folder: str, report: dict[str, Any]) -> str:
    """A line that names the classes of which nothing is kept, and why."""
    line = f"{folder}: {report['kept_share']:.1%} of {report['pixels']:,} unlabelled pixels kept"
    never = [name for name, row in report["classes"].items() if row["predicted"] == 0]
    empty = [name for name, row in report["classes"].items() if row["predicted"] and not row["kept"]]
    if never:
        line += f"; never predicted, so nothing is kept: {', '.join(never)}"
    if empty:
        line += f"; quota of 0, so nothing is kept: {', '.join(empty)}"
    return line
