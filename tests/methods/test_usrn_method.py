"""The method classes: contracts of Keras, gradients, batch statistics."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.handmade import PARENTS, handmade_batch, handmade_branches
from tests.tools import fill
from usrn_keras.backends import CompiledStep
from usrn_keras.methods import USRN, Supervised
from usrn_keras.optimizers import SGD
from usrn_keras.recipe.method_options import ALL_TERMS
from usrn_keras.strong_view import strong_view

pytestmark = pytest.mark.every_backend


def batch_of(seed: int = 0) -> dict[str, np.ndarray]:
    """A batch whose images are seen as they are."""
    return {name: value for name, value in handmade_batch(seed).items() if "parameters" not in name}


def usrn(terms=ALL_TERMS, build_optimizer=True) -> USRN:
    branch, sub_branch = handmade_branches()
    model = USRN(branch, sub_branch, PARENTS, threshold=0.4, terms=terms)
    fill(model.variables)
    optimizer = SGD(0.02)
    if build_optimizer:
        optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    return model


def values(variables) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def test_a_step_learns_and_moves_statistics():
    model, batch = usrn(), batch_of()
    step = CompiledStep(model)
    trainable, statistics = values(model.trainable_variables), values(model.non_trainable_variables)
    losses = [float(step(batch)["supervised"]) for _ in range(10)]
    assert np.mean(losses[-3:]) < losses[0]
    assert all((a != b).any() for a, b in zip(trainable, values(model.trainable_variables), strict=True))
    assert all((a != b).any() for a, b in zip(statistics, values(model.non_trainable_variables), strict=True))


def test_keras_fit_trains():
    """`train_step` is Keras' own contract: `fit` works on an iterable of batches, the optimizer is new."""
    model = usrn(build_optimizer=False)
    history = model.fit(((batch_of(seed),) for seed in range(4)), steps_per_epoch=4, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert {"supervised", "supervised_sub", "self_training", "confident"} <= set(history.history)


def test_shared_parts_survive_serialization():
    model = usrn()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.branch.stem is again.sub_branch.stem
    assert again.branch.tail is not again.sub_branch.tail
    assert len(again.variables) == len([v for v in model.variables if "sgd" not in v.path])
    again.branch.set_weights(model.branch.get_weights())
    images = batch_of()["labelled"].astype("float32")
    np.testing.assert_array_equal(values_of(again(images)), values_of(model(images)))


def values_of(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_terms_that_are_left_out_are_not_computed():
    """Model I reads no unlabelled image; without `sst`, F_sub does not see the strong view."""
    labelled = {key: value for key, value in batch_of().items() if key != "weak"}
    model = usrn(terms=("msl",))
    assert set(model.loss_terms(labelled)) == {"loss", "supervised", "supervised_sub"}
    model, batch = usrn(terms=("msl", "ost", "usr")), batch_of()
    found = model.loss_terms(batch)
    assert "self_training_sub" not in found and "gate_dropped" in found
    whole = usrn().loss_terms(batch)
    assert set(whole) - set(found) == {"self_training_sub", "confident_sub"}


def test_terms_are_part_of_the_configuration():
    model = usrn(terms=("msl", "ost"))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert tuple(again.terms) == ("msl", "ost") and again.inputs.unlabelled


def with_teacher(decay: float) -> USRN:
    (branch, sub_branch), (_, teacher) = handmade_branches(), handmade_branches()
    model = USRN(branch, sub_branch, PARENTS, threshold=0.4, teacher_decay=decay, sub_teacher=teacher)
    fill(model.networks[0].F.variables + model.networks[0].F_sub.variables)
    model._move_teacher(0.0)
    optimizer = SGD(0.02)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    return model


@pytest.mark.parametrize("decay", [0.25, 1.0])
def test_the_teacher_is_a_moving_average_of_f_sub(decay):
    model, batch = with_teacher(decay), batch_of()
    step = CompiledStep(model)
    step(batch)  # the teacher equals F_sub, before and after it moves
    before = [values(branch.variables) for branch in (model.sub_teacher, model.sub_branch)]
    step(batch)
    for found, average, own in zip(values(model.sub_teacher.variables), *before, strict=True):
        np.testing.assert_allclose(found, decay * average + (1 - decay) * own, rtol=1e-5, atol=1e-6)
    assert any((a != b).any() for a, b in zip(*before, strict=True))


def test_the_teacher_labels_for_f_sub_alone():
    """It gives the labels of Eq. 5; those of F and the mask stay those of F and F_sub."""
    model, batch = with_teacher(1.0), batch_of()
    found = []
    for seed in (0, 3):
        fill(model.sub_teacher.variables, seed=seed)
        terms = model.loss_terms(batch)
        found.append({name: float(keras.ops.stop_gradient(term)) for name, term in terms.items()})
    for name in ("supervised", "supervised_sub", "self_training", "gate_open"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-5), name
    assert found[0]["self_training_sub"] != pytest.approx(found[1]["self_training_sub"], rel=1e-3)


def test_teacher_and_decay_belong_together():
    with pytest.raises(ValueError, match=r"received no branch with 0\.9"):
        USRN(*handmade_branches(), PARENTS, teacher_decay=0.9)
    with pytest.raises(ValueError, match=r"received a branch with 0\.0"):
        USRN(*handmade_branches(), PARENTS, sub_teacher=handmade_branches()[1])


def test_terms_that_make_no_objective_are_refused():
    with pytest.raises(ValueError, match="`terms`: msl is required"):
        usrn(terms=("ost", "sst"))


def test_same_strong_view_without_parameters():
    """Parameters that change nothing give the loss of no strong view at all."""
    model, batch = usrn(), batch_of()
    plain = model.loss_terms(batch)
    identity = np.array([[1, 1, 1, 0, 0, 0]] * len(batch["weak"]), "float32")
    same = model.loss_terms(batch | {"strong_parameters": identity})
    plain, same = (values_of(keras.ops.stop_gradient(terms["loss"])) for terms in (plain, same))
    assert plain == pytest.approx(same, rel=1e-5)


def test_a_strong_view_made_on_the_host_is_taken():
    """The view that the device would make of the parameters gives the loss that they give."""
    model, batch = usrn(), batch_of()
    parameters = np.array([[0.7, 1.2, 1.3, 0.05, 0, 1]] * len(batch["weak"]), "float32")
    strong = values_of(strong_view(batch["weak"], parameters))
    losses = [
        values_of(keras.ops.stop_gradient(model.loss_terms(batch | extra)["loss"]))
        for extra in ({}, {"strong": strong}, {"strong_parameters": parameters})
    ]
    assert losses[1] == pytest.approx(losses[2], rel=1e-5) and losses[0] != pytest.approx(losses[1], rel=1e-4)


def test_supervised_learns_and_ignores():
    branch, _ = handmade_branches()
    model = Supervised(branch)
    fill(model.variables)
    optimizer = SGD(0.1)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    step, batch = CompiledStep(model), batch_of()
    losses = [float(step(batch)["loss"]) for _ in range(8)]
    assert losses[-1] < losses[0]
    ignored = batch | {"labels": np.full_like(batch["labels"], 255)}
    assert values_of(keras.ops.stop_gradient(model.loss_terms(ignored)["loss"])) == 0


def test_slow_variables_are_those_of_the_backbone():
    model = usrn()
    slow = {id(variable) for variable in model.slow_variables()}
    heads = [*model.branch.decoder.trainable_variables, *model.sub_branch.classifier.trainable_variables]
    assert not slow & {id(variable) for variable in heads}
    assert len(slow) == len({id(v) for v in model.trainable_variables}) - len(
        {
            id(v)
            for b in (model.branch, model.sub_branch)
            for v in [*b.decoder.trainable_variables, *b.classifier.trainable_variables]
        }
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate": "stopp"}, "`gate` must be one of fallback, stop, off, closed, received 'stopp'"),
        ({"terms": ["MSL", "OST"]}, "unknown: MSL, OST"),
        ({"parents": [0, 1, 2]}, "`parents` must name a class for each of 5 subclasses, received 3"),
        ({"parents": [0, 1, 2, 3, -1]}, r"`parents` must be classes in 0\.\.2, received \[3, -1\]"),
    ],
)
def test_what_there_is_not(options, message):
    with pytest.raises(ValueError, match=message):
        USRN(*handmade_branches(), **{"parents": PARENTS, **options})
