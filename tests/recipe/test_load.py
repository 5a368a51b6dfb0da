from __future__ import annotations

import pytest

from usrn_keras.recipe import load_recipe


@pytest.mark.parametrize("text", ["1_4", "46", '"1_4"', " 1_4 "])
def test_a_split_that_looks_like_a_number_stays_text(text):
    assert load_recipe("camvid_1_8", [f"data.split={text}"]).data.split == text.strip(' "')


def test_an_empty_value_empties_a_text():
    assert load_recipe("camvid_1_8", ["data.split="]).data.split == ""
