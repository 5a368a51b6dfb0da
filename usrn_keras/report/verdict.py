"""The verdict of a run: where it gained, what it still misses, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from usrn_keras.metrics import Scores
from usrn_keras.report.page_parts import Point
from usrn_keras.report.pseudo_label_rates import PseudoLabelRates
from usrn_keras.report.run_summary import RunSummary

GAIN = 0.01  # smallest gain of a class that is named; IoU in 0..1
LOSS = 0.02  # smallest loss of a class that is named
NO_GAIN = 0.005  # a method that gains less is not worth more steps before another was tried
NEAR_ZERO = 0.05  # IoU
WEAK = 0.4  # classes below this IoU need more masks
NAMED = 5  # classes in a list
STILL_FALLING = 0.9  # ratio of the loss of the last quarter to that of the quarter before


def verdict(summary: RunSummary) -> dict[str, list[Point]]:
    """Return the points of the verdict by heading; headings without a point are left out.

    Example:

    >>> scores = [Scores("Baseline", ["road", "pole"], [[90, 0], [10, 0]]),
    ...           Scores("USRN", ["road", "pole"], [[90, 0], [5, 5]])]
    >>> summary = RunSummary("runs/a", ("road", "pole"), np.zeros((2, 3), "uint8"), scores=scores)
    >>> verdict(summary)["Gain over Baseline"][0].text
    'mIoU rose from 45.0 % (Baseline) to 72.4 % (USRN), +27.4 points.'
    """
    reference = summary.scores[0].name if summary.scores else ""
    points = {
        f"Gain over {reference}" if len(summary.scores) > 1 else "Result": list(_gained(summary)),
        "What it still misses": list(_missed(summary)),
        "Pseudo labels": list(_second_head(summary)),
        "What to do next": list(_next_steps(summary)),
    }
    return {heading: found for heading, found in points.items() if found}


def _gained(summary: RunSummary) -> Iterator[Point]:
    if not summary.scores:
        return
    first, last = summary.scores[0], summary.scores[-1]
    if len(summary.scores) == 1:
        yield Point(f"mIoU of {last.name} is {_percent(last.miou)}; there is no other model to compare with.")
        return
    yield Point(_moved("mIoU", first.miou, last.miou, (first.name, last.name)))
    if last.rare.any():
        rare = [name for name, is_rare in zip(last.classes, last.rare, strict=True) if is_rare]
        what = f"The mean of the rare classes ({_some(rare, ', ')})"
        yield Point(_moved(what, first.rare_miou, last.rare_miou))
    gains = _largest(last.iou - first.iou, last.classes, GAIN)
    yield Point(f"Classes that gained most, in points: {gains}." if gains else "No class gained a point.")
    yield Point("This is one run: another seed may move a class by several points.")
    if last.miou > first.miou and len(summary.stages) > 1:
        yield _control(summary)


def _control(summary: RunSummary) -> Point:
    """What else may be the cause of the gain, and the command that shows it."""
    first, last = summary.stages[0], summary.stages[-1]
    gain = f"A gain over {summary.scores[0].name} may come from"
    if summary.has_subclasses:
        text = f"{gain} self-training or longer training alone; compare with these controls"
        folder = _quoted(f"{summary.name}-controls")
        command = f"usrn table controls {_quoted(summary.recipe_file)} --seeds 0,1,2 --folder {folder}"
        return _step(text, command if summary.recipe_file else "")
    steps = sum(stage.length for stage in summary.stages)
    other = "" if last.method == "self_training" else "self-training or "
    text = f"{gain} {other}longer training alone; train {first.title} for as many steps in all"
    sets = ["training.method=supervised", f"{first.steps_key}={steps}"]
    return _step(text, _fit(summary, "control", *sets, reuse=False))


def _missed(summary: RunSummary) -> Iterator[Point]:
    if not summary.scores:
        return
    first, last = summary.scores[0], summary.scores[-1]
    order = [i for i in np.argsort(last.iou, kind="stable") if last.present[i]]
    lost = [i for i in order if last.iou[i] < NEAR_ZERO]
    if lost:
        yield Point(f"At or near IoU 0: {_some([_error(last, i) for i in lost], '; ')}.")
    weak = [i for i in order if i not in lost][:3]
    if weak:
        shown = "; ".join(_error(last, i) for i in weak)
        yield Point(f"{'The next lowest' if lost else 'No class is near IoU 0. The lowest'}: {shown}.")
    if losses := _largest(first.iou - last.iou, last.classes, LOSS, sign=-1):
        yield Point(f"Classes that lost against {first.name}, in points: {losses}.")
    never = _never_taught(summary)
    if never:
        yield Point(f"At the last step no pseudo label above gamma is correct for {_some(never, ', ')}.")
    absent = [name for name, there in zip(last.classes, last.present, strict=True) if not there]
    if absent:
        yield Point(f"Not measured, because no pixel of these images has the class: {_some(absent, ', ')}.")


def _second_head(summary: RunSummary) -> Iterator[Point]:
    """What F_sub did to the pseudo labels, as far as it was measured."""
    if not summary.pseudo_labels:
        if len(summary.scores) > 1:
            yield Point(summary.missing.get("pseudo_labels", "The pseudo labels were not measured."))
        return
    rates = PseudoLabelRates(summary.pseudo_labels)
    where = f"at step {rates.steps[-1]:,}, on {rates.images} unlabelled images"
    wrong = 1 - rates.overall_precision()[-1]
    if not rates.masks:
        unknown = "How many pseudo labels are wrong is unknown: the unlabelled images have no masks."
    elif np.isnan(wrong):
        unknown = ""
    else:
        unknown = f"Of all pseudo labels above gamma {_percent(wrong)} are wrong."
    if not rates.has("dropped"):
        yield Point(f"The method has no second head. {unknown}".strip())
        return
    dropped, overridden, changed = rates.changed_by_second_head()
    if not changed > 0:
        above = "" if changed == 0 else "; none is above gamma"
        yield Point(f"The second head changed no pseudo label, {where}{above}. {unknown}".strip())
        return
    kinds = f" ({_percent(dropped)} dropped, {_percent(overridden)} overridden)" if overridden else ""
    text = f"The second head changed {_percent(changed)} of the pseudo labels{kinds}"
    bad = 1 - rates.overall_precision("dropped")[-1]
    if np.isfinite(bad):
        text += f"; {_percent(bad)} of those {'that it dropped ' if overridden else ''}were wrong"
    before = 1 - rates.overall_precision("own")[-1]
    yield Point(f"{text}, {where}.")
    if np.isfinite(bad) and np.isfinite(before):
        yield Point(
            f"Before the correction {_percent(before)} of the pseudo labels were wrong, after it "
            f"{_percent(wrong)}: "
            + ("it removes" if bad > before else "it does not remove")
            + " wrong labels more often than a random choice would."
        )
    elif unknown:
        yield Point(unknown)
    if overridden and rates.masks:
        yield Point("How many of the overridden labels were wrong is not recorded.")


def _next_steps(summary: RunSummary) -> Iterator[Point]:
    if not summary.scores:
        resume = f"usrn fit {_quoted(summary.recipe_file)} --run {_quoted(summary.name)}"
        if summary.recipe_file:
            yield Point("Complete and evaluate the run; completed stages are skipped:", resume)
        return
    last = summary.scores[-1]
    order = np.lexsort((last.pixels, last.iou.round(2)))
    weakest = [i for i in order if last.present[i] and last.iou[i] < WEAK][:3]
    if weakest:
        names = _listed([last.classes[i] for i in weakest])
        yield _step(
            f"Label more images that show {names}{_labelled_share(summary, weakest)}. Add the masks to the "
            "data set and to its list of labelled images, then train again",
            _fit(summary, "more-masks"),
        )
    if unfinished := [stage for stage in summary.stages if _still_learns(summary.training.get(stage.title))]:
        titles = _listed([stage.title for stage in unfinished])
        sets = [f"{stage.steps_key}={2 * stage.steps}" for stage in unfinished]
        text = f"{titles} still improved in the last quarter of the steps; train longer"
        first = summary.stages[0]
        yield _step(text, _fit(summary, "longer", *sets, reuse=first not in unfinished))
    if method := _other_method(summary):
        text = (
            "This run used no unlabelled images. If you have some, train a method that learns from them"
            if len(summary.scores) == 1
            else f"{last.name} gained less than half a point. Compare it with another method"
        )
        yield _step(text, _fit(summary, method, f"training.method={method}"))
    yield _step(
        "Repeat with another seed before you rely on a small difference",
        _fit(summary, f"seed-{summary.seed + 1}", f"training.seed={summary.seed + 1}", reuse=False),
    )


def _step(text: str, command: str) -> Point:
    return Point(f"{text}:" if command else f"{text}.", command)


def _other_method(summary: RunSummary) -> str:
    """The method to try next; empty if this one gained, or nothing is known of it."""
    first, last = summary.scores[0], summary.scores[-1]
    method = summary.stages[-1].method if summary.stages else ""
    if not method or (len(summary.scores) > 1 and last.miou - first.miou >= NO_GAIN):
        return ""
    return "usrn" if method == "self_training" else "self_training"


def _still_learns(records: Sequence[Mapping[str, float]] | None) -> bool:
    """Whether the mIoU on val, or else the loss on labelled images, still improved at the end.

    That loss falls with the learning rate, too, so only a clear fall counts.
    """
    mious = [record["val_miou"] for record in records or () if "val_miou" in record]
    if len(mious) >= 3:
        return mious[-1] > max(mious[:-1]) + GAIN / 2
    key = "supervised" if any("supervised" in record for record in records or ()) else "loss"
    losses = [record[key] for record in records or () if key in record]
    part = len(losses) // 4
    if part < 2:
        return False
    return bool(np.mean(losses[-part:]) < STILL_FALLING * np.mean(losses[-2 * part : -part]))


def _never_taught(summary: RunSummary) -> list[str]:
    """The classes that the unlabelled images show, and that no correct pseudo label has at the last step."""
    rates = PseudoLabelRates(summary.pseudo_labels) if summary.pseudo_labels else None
    if rates is None or not rates.masks:
        return []
    coverage = rates.coverage()[-1]
    return [name for name, share in zip(summary.classes, coverage, strict=True) if share == 0]


def _labelled_share(summary: RunSummary, classes: Sequence[int]) -> str:
    if summary.clusters is None:
        return ""
    pixels = summary.clusters.subclasses.pixels
    share = 100 * pixels[list(classes)].sum() / max(1, pixels.sum())
    return f", together {share:.2g} % of the labelled pixels"


def _fit(summary: RunSummary, suffix: str, *sets: str, reuse: bool = True) -> str:
    """A command that trains a changed copy of the run; empty for a run whose recipe cannot be trained."""
    if not summary.recipe_file:
        return ""
    parts = ["usrn fit", _quoted(summary.recipe_file), "--run", _quoted(f"{summary.name}-{suffix}")]
    parts += [f"--set {_quoted(one)}" for one in sets]
    if sets and reuse and len(summary.stages) > 1:
        parts += ["--reuse", _quoted(summary.name)]
    return " ".join(parts)


def _error(scores: Scores, class_id: int) -> str:
    """`pole 0.0 % (71 % predicted as building)`: the IoU, and the class that takes most of the pixels."""
    iou = f"{scores.classes[class_id]} {_percent(scores.iou[class_id])}"
    row = scores.confusion[class_id].astype(np.float64)
    row[class_id] = 0
    taker = int(row.argmax())
    if row[taker] < 0.1 * scores.pixels[class_id]:
        return iou
    return f"{iou} ({100 * row[taker] / scores.pixels[class_id]:.0f} % predicted as {scores.classes[taker]})"


def _largest(differences: np.ndarray, names: Sequence[str], least: float, sign: int = 1) -> str:
    """`pole +8.1, sign +5.0`: the largest of the differences, at least `least`, the first one largest."""
    order = [i for i in np.argsort(-differences, kind="stable") if differences[i] >= least]
    return ", ".join(f"{names[i]} {sign * 100 * differences[i]:+.1f}" for i in order[:NAMED])


def _moved(what: str, before: float, after: float, models: tuple[str, str] | None = None) -> str:
    points = round(100 * (after - before), 1)
    verb = "rose" if points > 0 else "fell" if points < 0 else "stayed"
    first, last = (f" ({name})" for name in models) if models else ("", "")
    return f"{what} {verb} from {_percent(before)}{first} to {_percent(after)}{last}, {points:+.1f} points."


def _some(texts: Sequence[str], separator: str) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return separator.join(texts[:NAMED]) + more


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _quoted(text: str) -> str:
    return shlex.quote(text)
