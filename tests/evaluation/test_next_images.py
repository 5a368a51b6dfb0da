from __future__ import annotations

import csv
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.evaluation.made_run import make_run, write
from usrn_keras.errors import DataError
from usrn_keras.evaluation.next_images import choose_different, heat_map, suggest_images
from usrn_keras.evaluation.uncertainty import ImageUncertainty


def found(score, *features):
    return ImageUncertainty(score, 0.0, np.array([score]), np.array(features, np.float32))


def test_of_uncertain_images_those_that_differ_are_chosen():
    """Ten images of two kinds; the five most uncertain ones are of one kind."""
    alike = [found(2 - 0.1 * i, 0.01 * i, 0) for i in range(5)]
    others = [found(1 - 0.1 * i, 5 + 0.01 * i, 5) for i in range(5)]
    assert choose_different([*others, *alike], 2) == [5, 0]


def test_images_that_are_certain_are_no_candidates():
    """They differ from all others, but five candidates for each wanted image come before them."""
    certain = [found(0.01, 99 + i, 99) for i in range(10)]
    uncertain = [found(2 - 0.1 * i, 5 * (i % 2) + 0.01 * i, 0) for i in range(10)]
    assert choose_different([*certain, *uncertain], 2) == [10, 11]


def test_all_images_in_the_order_of_their_scores():
    assert choose_different([found(1, 0), found(3, 0), found(2, 0)], 3) == [1, 2, 0]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run that doubts red values of 1 most (its probability is 0.58), and 12 unlabelled images."""
    folder = tmp_path_factory.mktemp("suggest")
    make_run(folder)
    rng = np.random.default_rng(0)
    for index in range(12):
        red = np.where(rng.random((20, 24)) < index / 12, 1, 0)
        write(folder / f"data/images/more/{index:02}.png", np.stack([0 * red, 0 * red, red], axis=-1))
    return folder


def test_uncertain_images_of_a_run(made):
    suggestion, sheet = suggest_images([made / "run"], 3)
    assert suggestion.ranked == 13 and suggestion.models == ("baseline", "usrn")
    assert suggestion.classes == ("road", "pole", "sky")
    scores = [one.score for one in suggestion.uncertainties]
    assert scores == sorted(scores, reverse=True)
    assert suggestion.samples[0].name in ("more/11", "more/10")
    assert all(one.disagreement > 0 for one in suggestion.uncertainties)  # the Baseline always says road
    assert suggestion.names_text().splitlines() == [sample.name for sample in suggestion.samples]
    rows = list(csv.DictReader(io.StringIO(suggestion.csv_text())))
    assert rows[0]["name"] == suggestion.samples[0].name
    parts = sum(float(rows[0][name]) for name in suggestion.classes)
    assert parts == pytest.approx(float(rows[0]["score"]), abs=1e-5)
    with Image.open(io.BytesIO(sheet)) as picture:
        assert picture.width > 300 and picture.height > 3 * 100


def test_several_runs_are_compared(made):
    suggestion, _ = suggest_images([made / "run", made / "run"], 2)
    assert len(suggestion.models) == 1 or suggestion.uncertainties[0].disagreement == pytest.approx(0)


def test_more_images_than_there_are(made):
    with pytest.raises(DataError, match="--count 14: the data set has 13 unlabelled images"):
        suggest_images([made / "run"], 14)


def test_a_heat_map_is_hot_where_values_are_high():
    image = np.full((4, 4, 3), 90, np.uint8)
    values = np.zeros((4, 4))
    values[1, 2] = 3
    drawn = heat_map(image, values)
    assert drawn[1, 2].tolist() == [255, 0, 0] and (drawn[0] == drawn[0, 0, 0]).all()
    assert (heat_map(image, np.zeros((4, 4))) == drawn[0, 0]).all()
    assert cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY).shape == (4, 4)
