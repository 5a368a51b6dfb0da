from __future__ import annotations

import re

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.checks import network_contradictions
from usrn_keras.recipe.schema import NetworkSection


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "network.backbone: missing"),
        ({"backbone": "keras/mobilenet", "psa_mask": 58}, "psa_mask: must be odd.*received 58"),
        ({"architecture": "keras_cv/deeplab_v3_plus"}, "network.backbone: missing"),
        (
            {"architecture": "keras_cv/deeplab_v3_plus", "backbone": "keras/mobilenet", "decoder": "pspnet"},
            "network.decoder: fixed by network.architecture = 'keras_cv/deeplab_v3_plus'.*received 'pspnet'",
        ),
        ({"backbone": "keras/mobilenet", "width": 0.5}, "network.width: must be 1 with .*received 0.5"),
        (
            {"backbone": "keras/mobilenet", "lora_rank": 4, "frozen": "stem"},
            "network.lora_rank: used only with network.frozen = 'backbone', received network.frozen = 'stem'",
        ),
        (
            {"backbone": "keras/mobilenet", "frozen": "backbone", "weights": "none"},
            "network.frozen: 'backbone' keeps the initial weights, which are random with",
        ),
    ],
)
def test_contradictions(keys, message):
    (error,) = network_contradictions(NetworkSection(**keys))
    assert re.search(message, error), error


@pytest.mark.parametrize(
    "keys",
    [
        {"backbone": "keras/mobilenet", "decoder": "pspnet", "aspp_channels": 8},
        {"backbone": "keras/mobilenet", "decoder": "psanet", "psa_mask": 59},
        {
            "architecture": "keras_cv/deeplab_v3_plus",
            "backbone": "keras/mobilenet",
            "weights": "none",
            "width": 0.5,
        },
        {"backbone": "keras/mobilenet", "frozen": "backbone", "lora_rank": 4},
    ],
)
def test_what_goes_together(keys):
    assert list(network_contradictions(NetworkSection(**keys))) == []


def test_a_backbone_that_is_not_trained_has_no_decay():
    overrides = ["network.weights=imagenet", "network.width=1", "training.layer_decay=0.9"]
    with pytest.raises(RecipeError) as error:
        load_recipe("camvid_1_8", [*overrides, "network.frozen=backbone"])
    (line,) = error.value.errors
    assert line.startswith(
        "training.layer_decay: without effect with network.frozen = 'backbone', received 0.9; remove the key"
    )
    load_recipe("camvid_1_8", [*overrides, "network.frozen=backbone", "network.lora_rank=4"])


def test_a_recipe_names_every_error():
    overrides = ["network.backbone=", "network.psa_mask=4"]
    with pytest.raises(RecipeError, match=r"2 error\(s\)") as error:
        load_recipe("quickstart", overrides)
    assert [line.split(":")[0] for line in error.value.errors] == ["network.psa_mask", "network.backbone"]


def test_one_override_changes_the_decoder():
    assert load_recipe("camvid_1_8", ["network.decoder=psanet"]).network.decoder == "psanet"
