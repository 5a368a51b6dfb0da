"""What the builders of networks are given by a recipe."""

from __future__ import annotations

import pytest

from usrn_keras.recipe import load_recipe
from usrn_keras.stages.models import _network


@pytest.mark.parametrize(
    ("overrides", "mask"),
    [
        (["views.crop_size=320", "network.output_stride=8"], 39),  # 40 pixels, 20 after shrinking
        (["views.crop_size=320", "network.output_stride=16", "network.psa_shrink=1"], 39),
        (["views.crop_size=32"], 1),  # one pixel, which sees itself
        (["network.psa_mask=59"], 59),
    ],
)
def test_attention_covers_a_training_crop_unless_told(overrides, mask):
    assert _network(load_recipe("quickstart", overrides), pretrained=True)["psa_mask"] == mask


def test_weights_that_are_about_to_be_restored_are_not_fetched():
    assert _network(load_recipe("voc_1_16"), pretrained=False)["weights"] == "none"
