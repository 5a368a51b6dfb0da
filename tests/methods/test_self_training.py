"""Self-training at a given coverage: the share of each batch follows `kept_shares` over training."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tests.methods.handmade import handmade_batch, handmade_branches
from usrn_keras.methods.self_training import SelfTraining

pytestmark = pytest.mark.every_backend


def terms_at(model: SelfTraining, progress: float) -> dict[str, float]:
    batch = handmade_batch(0) | {"progress": np.float32(progress)}
    return {name: float(ops.convert_to_numpy(value)) for name, value in model.loss_terms(batch).items()}


def test_the_share_of_learned_pixels_follows_the_curve():
    branch, _ = handmade_branches()
    model = SelfTraining(branch, kept_shares=[0.0, 0.5, 1.0])
    kept = [terms_at(model, progress)["confident"] for progress in (0.0, 0.25, 0.5)]
    assert kept == pytest.approx([0.0, 0.25, 0.5], abs=0.02)  # whole pixels of a small batch
    assert terms_at(model, 0.0)["self_training"] == 0.0


def test_a_share_is_another_name_of_the_threshold_that_gives_it():
    branch, _ = handmade_branches()
    by_share = terms_at(SelfTraining(branch, kept_shares=[1.0]), 0.5)
    by_threshold = terms_at(SelfTraining(branch, threshold=0.0), 0.5)
    assert by_share["loss"] == pytest.approx(by_threshold["loss"], rel=1e-6)


def test_progress_is_read_only_where_it_is_needed_and_shares_are_kept_in_the_configuration():
    branch, _ = handmade_branches()
    assert not SelfTraining(branch).inputs.progress
    model = SelfTraining(branch, kept_shares=[0.5])
    assert model.inputs.progress
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.kept_shares == [0.5]
