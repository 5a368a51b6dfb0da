from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from usrn_keras.report.cluster_report import COLUMNS, ClusterReport, cluster_table
from usrn_keras.subclasses import SubclassMap, class_balance_rate


def subclass_map(**changes) -> SubclassMap:
    """Road in 3 subclasses, no train at all, pole in 1; a feature pixel is 16 pixels."""
    facts = {
        "classes": ("pole", "train", "road"),
        "counts": np.array([1, 0, 3]),
        "sizes": np.array([1000, 1001, 1000, 1000]),
        "centers": np.zeros((4, 2), np.float32),
        "pixels": np.array([16_000, 0, 48_016]),
        "feature_pixels": np.array([1000, 0, 3001]),
        "inertia": np.array([0.25, 0.0, 0.125]),
        "prices": np.zeros(4),
    }
    return SubclassMap(**(facts | changes))


def test_rows_go_from_frequent_to_rare_to_absent():
    rows = ClusterReport(subclass_map()).class_rows()
    assert rows == [
        ["road", "48,016", "75.0", "3", "3,001", "1,000", "1,001", "0.125"],
        ["pole", "16,000", "25.0", "1", "1,000", "1,000", "1,000", "0.25"],
        ["train", "absent", "-", "-", "-", "-", "-", "-"],
    ]
    assert all(len(row) == len(COLUMNS) for row in rows)


def test_totals_weigh_inertia_by_feature_pixels():
    total = ClusterReport(subclass_map()).total_row()
    mean = (1000 * 0.25 + 3001 * 0.125) / 4001
    assert total == ["all", "64,016", "100.0", "4", "4,001", "1,000", "1,001", f"{mean:.4g}"]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [([1000, 1001, 1000, 1000], "of equal size"), ([812, 815, 813, 812], "sizes 812 to 815")],
)
def test_sizes_are_called_equal_only_where_they_differ_by_one_at_most(sizes, words):
    assert ClusterReport(subclass_map(sizes=np.array(sizes))).size_words() == words


def test_rates_of_original_plain_and_balanced():
    plain = np.array([1000, 2500, 500, 1])
    report = ClusterReport(subclass_map(), plain=plain)
    assert report.rates == {
        "original": class_balance_rate([16_000, 0, 48_016]),
        "plain": class_balance_rate(plain),
        "balanced": class_balance_rate([1000, 1001, 1000, 1000]),
    }
    assert report.rate_line() == (
        "class balance rate: original 33.8 % -> plain k-means 46.0 % -> balanced 100.0 %"
    )


def test_a_rate_that_was_not_measured_is_said_to_be():
    report = ClusterReport(subclass_map())
    assert report.rates["plain"] is None
    assert report.rate_line().endswith("balanced 100.0 % (plain k-means was not measured)")


def test_free_assignment_is_not_called_balanced():
    report = ClusterReport(subclass_map(), assignment="free")
    assert report.rates["balanced"] is None
    assert report.rates["plain"] == class_balance_rate([1000, 1001, 1000, 1000])
    assert "-> balanced" not in report.rate_line()
    assert report.rate_line().endswith('(subclasses.assignment = "free": nothing was balanced)')


def test_plain_sizes_of_another_number_of_subclasses_are_refused():
    with pytest.raises(ValueError, match=r"each of the 4 subclasses, received shape \(3,\)"):
        ClusterReport(subclass_map(), plain=np.array([1, 2, 3]))


def test_a_class_thinner_than_the_features_has_an_empty_subclass():
    thin = subclass_map(sizes=np.array([0, 1001, 1000, 1000]), feature_pixels=np.array([0, 0, 3001]))
    assert ClusterReport(thin).class_rows()[1][3:7] == ["1", "0", "0", "0"]


def test_json_holds_every_size_and_raw_numbers():
    value = json.loads(json.dumps(ClusterReport(subclass_map(), plain=[1, 2, 3, 4], seconds=2.5).to_json()))
    assert (value["subclasses"], value["seconds"], value["assignment"]) == (4, 2.5, "balanced")
    pole, train, road = value["classes"]
    assert road == {
        "name": "road", "absent": False, "pixels": 48_016, "share": 48_016 / 64_016, "subclasses": 3,
        "feature_pixels": 3001, "smallest": 1000, "largest": 1001, "inertia": 0.125,
        "sizes": [1001, 1000, 1000], "plain_sizes": [2, 3, 4],
    }  # fmt: skip
    assert pole["sizes"] == [1000]
    assert train["absent"] and train["smallest"] is None and train["sizes"] == []


def test_time_does_not_count_what_an_interrupted_call_did_and_says_so():
    assert ClusterReport(subclass_map(), seconds=61).time_line().startswith("time: 1 min 1 s for features")
    resumed = ClusterReport(subclass_map(), seconds=61, resumed=True)
    assert resumed.time_line().endswith("since the last interruption")
    assert ClusterReport(subclass_map()).time_line() == "time: not known"


def test_millions_of_pixels_fit_80_columns():
    wide = subclass_map(
        classes=("SignSymbol", "train", "Pedestrian"), pixels=np.array([1_590_590, 0, 2_590_590]),
        feature_pixels=np.array([162_574, 0, 162_574]), sizes=np.full(4, 50_123),
        inertia=np.array([3.024, 0.0, 1.389]),
    )  # fmt: skip
    assert {"Pedestrian", "2,590,590", "4,181,180", "162,574", "smallest", "3.024"} <= words(wide, 80)


def test_no_figure_of_the_table_is_cut_off():
    shown = words(subclass_map(), 1000)
    assert {"48,016", "3,001", "1,001", "absent", "Absent"} <= shown
    assert "…" not in "".join(shown | words(subclass_map(), 40))


def words(subclasses: SubclassMap, width: int) -> set[str]:
    """The words of the table on a terminal of `width` columns."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(cluster_table(ClusterReport(subclasses)))
    return set(stream.getvalue().replace("│", " ").replace("┃", " ").split())
