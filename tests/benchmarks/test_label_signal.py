"""The signal of the second head: shares of wrong and of right labels that it drops."""

from types import SimpleNamespace

import pytest

from benchmarks import label_signal
from usrn_keras.report.pseudo_label_rates import PseudoLabelRates
from usrn_keras.runs.log import MetricsLog


def record(step: int, dropped: int, wrong: int) -> dict:
    """100 pixels with a known class; F is confident on 90, `dropped` of which F_sub removes."""
    sums = {"pixels": [100], "confident": [90 - dropped], "dropped": [dropped], "overridden": [0]}
    quality = {
        "corrected": {"chosen": [90 - dropped], "right": [80 - (dropped - wrong)]},
        "own": {"chosen": [90], "right": [80]},
        "dropped": {"chosen": [dropped], "right": [dropped - wrong]},
    }
    known = {"images": 1, "masks": 1, "threshold": 0.75, "quality": quality}
    return {"step": step, "by_pseudo_label": sums, "by_true_class": sums, **known}


def test_wrong_and_right_labels_that_are_dropped():
    first, second = label_signal.signal(PseudoLabelRates([record(0, 0, 0), record(10, 5, 3)]))
    assert (first["dropped_wrong"], first["dropped_right"], first["kept"]) == (0, 0, 0.9)
    assert (second["dropped_wrong"], second["dropped_right"]) == pytest.approx((0.03, 0.02))
    assert (second["kept"], second["own_kept"]) == pytest.approx((0.85, 0.9))
    assert second["right"] == pytest.approx(78 / 85, abs=1e-5)


def test_shares_are_the_means_around_each_point_of_training(tmp_path):
    for name, share in (("a", 0.8), ("b", 0.6)):
        log = MetricsLog(tmp_path / name, "2-usrn")
        (tmp_path / name).mkdir()
        for step in range(1, 101):
            log.record({"step": step, "confident": share + 0.1 * (step > 50)})
    runs = [
        SimpleNamespace(
            path=tmp_path / name,
            stages=["1-baseline", "2-usrn"],
            recipe=SimpleNamespace(training=SimpleNamespace(usrn_steps=100)),
        )
        for name in ("a", "b")
    ]
    assert label_signal.kept_shares(runs, 5) == pytest.approx([0.7, 0.7, 0.75, 0.8, 0.8], abs=0.01)


def test_lines_are_means_over_runs_of_one_kind(monkeypatch):
    shown = []
    monkeypatch.setattr(label_signal, "line_chart_svg", lambda lines, **_: shown.extend(lines) or b"")
    rows = [
        {"run": f"usrn-1_16-seed{seed}", "step": step, "dropped_wrong": 0.1 * seed, "dropped_right": ""}
        for seed in (1, 3)
        for step in (10, 20)
    ]
    label_signal.drawn(rows)
    (line,) = shown
    assert line.name == "usrn: wrong" and line.steps.tolist() == [10, 20]
    assert line.values == pytest.approx([0.2, 0.2])
