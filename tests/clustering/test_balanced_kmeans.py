from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.utils.estimator_checks import parametrize_with_checks

from usrn_keras.clustering.balanced_kmeans import BalancedKMeans


def blobs(rows, features=6, groups=5, seed=0, dtype=np.float32):
    """Groups of very different size, so that balance costs something."""
    rng = np.random.default_rng(seed)
    weight = 1.0 / np.arange(1, groups + 1)
    group = rng.choice(groups, rows, p=weight / weight.sum())
    centers = 4.0 * rng.normal(size=(groups, features))
    return (centers[group] + rng.normal(size=(rows, features))).astype(dtype)


def inertia_of(rows, model):
    return ((rows.astype(np.float64) - model.cluster_centers_[model.labels_]) ** 2).sum()


def assert_balanced(model, rows):
    sizes = np.bincount(model.labels_, minlength=model.n_clusters)
    assert model.labels_.shape == (rows,)
    assert model.labels_.dtype == np.int32
    assert sizes.max() - sizes.min() <= 1
    assert len(sizes) == model.n_clusters
    np.testing.assert_array_equal(sizes, model.cluster_sizes_)


@st.composite
def problems(draw):
    """Rows, some of them repeated, and a number of clusters."""
    rows = draw(st.integers(1, 70))
    clusters = draw(st.integers(1, min(rows, 9)))
    distinct = draw(st.sampled_from([rows, rows, max(1, rows // 5), 1]))
    seed = draw(st.integers(0, 1000))
    data = blobs(rows, features=draw(st.integers(1, 4)), seed=seed)
    return data[
        np.random.default_rng(seed).integers(0, distinct, rows)
    ] if distinct < rows else data, clusters


@settings(max_examples=80, deadline=None)
@given(problems(), st.sampled_from(["k-means++", "random"]))
def test_sizes_are_within_one_and_every_row_is_assigned(problem, init):
    rows, clusters = problem
    model = BalancedKMeans(clusters, init=init, random_state=0).fit(rows)
    assert_balanced(model, len(rows))
    assert model.inertia_ == pytest.approx(inertia_of(rows, model), rel=1e-4, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_the_inertia_is_not_above_the_start(problem):
    rows, clusters = problem
    start = rows[:clusters].copy()
    first = BalancedKMeans(clusters, init=start, max_iter=1, random_state=0).fit(rows)
    last = BalancedKMeans(clusters, init=start, random_state=0).fit(rows)
    assert last.inertia_ <= first.inertia_ * (1 + 1e-4) + 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_order_of_the_rows_does_not_matter(seed):
    rows = blobs(60, seed=seed)
    order = np.random.default_rng(seed).permutation(60)
    model = BalancedKMeans(4, init=rows[:4].copy(), random_state=0)
    labels = model.fit_predict(rows)
    np.testing.assert_array_equal(model.fit_predict(rows[order]), labels[order])


def test_balance_costs_little_more_than_plain_clusters_of_equal_size():
    rng = np.random.default_rng(0)
    centers = 20.0 * rng.normal(size=(5, 3))
    rows = (np.repeat(centers, 40, axis=0) + rng.normal(size=(200, 3))).astype(np.float32)
    balanced = BalancedKMeans(5, random_state=0).fit(rows)
    plain = KMeans(5, n_init=10, random_state=0).fit(rows)
    assert balanced.inertia_ == pytest.approx(plain.inertia_, rel=1e-4)


@pytest.mark.parametrize("rows", [8000, 8003])
def test_a_problem_in_several_stages(rows):
    data = blobs(rows, features=16, groups=12)
    model = BalancedKMeans(30, random_state=0).fit(data)
    assert_balanced(model, rows)
    assert model.inertia_ == pytest.approx(inertia_of(data, model), rel=1e-5)
    assert (model.predict(data) == model.labels_).mean() > 0.99


def test_the_fit_on_a_sample_is_close_to_the_fit_on_all_rows():
    data = blobs(20_000, features=8, groups=20)
    whole = BalancedKMeans(10, random_state=0).fit(data)
    part = BalancedKMeans(10, random_state=0, sample_size=4000).fit(data)
    assert_balanced(part, len(data))
    assert part.inertia_ < 1.02 * whole.inertia_


def test_one_cluster():
    rows = blobs(50)
    model = BalancedKMeans(1, random_state=0).fit(rows)
    np.testing.assert_allclose(model.cluster_centers_[0], rows.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(model.labels_, 0)


@pytest.mark.parametrize("rows", [1, 2, 40])
def test_as_many_clusters_as_rows(rows):
    data = blobs(rows)
    model = BalancedKMeans(rows, random_state=0).fit(data)
    assert sorted(model.labels_) == list(range(rows))
    assert model.inertia_ == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("rows", [101, 60_001])
def test_all_rows_identical(rows):
    model = BalancedKMeans(7, random_state=0).fit(np.full((rows, 3), 2.5, np.float32))
    assert_balanced(model, rows)
    assert model.inertia_ == 0.0
    np.testing.assert_array_equal(model.cluster_centers_, 2.5)


def test_many_duplicates():
    values = blobs(25, groups=25)
    rows = values[np.random.default_rng(0).integers(0, 25, 30_000)]
    model = BalancedKMeans(10, random_state=0).fit(rows)
    assert_balanced(model, len(rows))
    plain = KMeans(10, n_init=1, random_state=0).fit(rows)
    assert plain.inertia_ < model.inertia_ < rows.var(axis=0).sum() * len(rows)


def test_one_far_outlier_leaves_the_rest_alone():
    rows = blobs(300)
    rows[17] = 1e6
    model = BalancedKMeans(6, random_state=0).fit(rows)
    assert_balanced(model, 300)
    others = model.labels_ != model.labels_[17]
    spread = ((rows[others] - model.cluster_centers_[model.labels_[others]]) ** 2).sum(axis=1).mean()
    assert spread < blobs(300).var(axis=0).sum()


def test_float16_at_the_end_of_its_range():
    rows = blobs(400, dtype=np.float64)
    large = (rows * (60_000 / np.abs(rows).max())).astype(np.float16)
    model = BalancedKMeans(5, random_state=0).fit(large)
    same = BalancedKMeans(5, random_state=0).fit(large.astype(np.float32))
    assert_balanced(model, 400)
    np.testing.assert_array_equal(model.labels_, same.labels_)
    assert np.isfinite(model.inertia_)


def test_rows_far_from_the_origin_and_of_any_unit():
    rows = blobs(300, dtype=np.float64)
    model = BalancedKMeans(5, random_state=0)
    labels = model.fit_predict(rows)
    np.testing.assert_array_equal(model.fit_predict(rows + 1e6), labels)
    np.testing.assert_array_equal(model.fit_predict(rows * 2.0**40), labels)
    np.testing.assert_array_equal(model.fit_predict(rows * 2.0**-30), labels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_memory_map_is_clustered_like_an_array(tmp_path, dtype):
    rows = blobs(9000, dtype=dtype)
    mapped = np.memmap(tmp_path / "rows", dtype=dtype, mode="w+", shape=rows.shape)
    mapped[:] = rows
    mapped = np.memmap(tmp_path / "rows", dtype=dtype, mode="r", shape=rows.shape)
    in_memory = BalancedKMeans(6, random_state=0, sample_size=3000).fit(rows)
    on_disk = BalancedKMeans(6, random_state=0, sample_size=3000).fit(mapped)
    np.testing.assert_array_equal(on_disk.labels_, in_memory.labels_)
    np.testing.assert_array_equal(on_disk.cluster_centers_, in_memory.cluster_centers_)


def test_the_number_of_threads_does_not_matter():
    rows = blobs(20_000, features=8)
    one = BalancedKMeans(12, random_state=0, n_jobs=1).fit(rows)
    two = BalancedKMeans(12, random_state=0, n_jobs=2).fit(rows)
    np.testing.assert_array_equal(one.labels_, two.labels_)
    np.testing.assert_array_equal(one.cluster_centers_, two.cluster_centers_)
    np.testing.assert_array_equal(one.prices_, two.prices_)
    assert one.inertia_ == two.inertia_


def test_several_starts_are_not_worse():
    rows = blobs(500, groups=12)
    one = BalancedKMeans(12, init="random", random_state=0).fit(rows)
    many = BalancedKMeans(12, init="random", random_state=0, n_init=8).fit(rows)
    assert many.inertia_ <= one.inertia_ * (1 + 1e-6)


def test_free_clusters_are_those_of_plain_k_means():
    rows = blobs(1000)
    free = BalancedKMeans(5, assignment="free", n_init=3, random_state=0).fit(rows)
    plain = KMeans(5, n_init=3, random_state=0).fit(rows)
    assert free.inertia_ == pytest.approx(plain.inertia_, rel=0.02)
    assert np.ptp(free.cluster_sizes_) > 1
    np.testing.assert_array_equal(free.prices_, 0.0)
    np.testing.assert_array_equal(free.predict(rows), free.labels_)


def test_prices_and_centers_explain_the_labels():
    rows = blobs(600, dtype=np.float64)
    model = BalancedKMeans(5, random_state=0).fit(rows)
    priced = model.transform(rows) ** 2 + model.prices_
    chosen = priced[np.arange(600), model.labels_]
    np.testing.assert_allclose(chosen, priced.min(axis=1), rtol=1e-4, atol=1e-3)


def test_the_callback_sees_both_phases():
    seen = []
    BalancedKMeans(4, random_state=0, callback=seen.append).fit(blobs(9000))
    assert {progress.phase for progress in seen} == {"fit", "assign"}
    assert seen[-1].done == seen[-1].total == 9000
    assert all(np.isfinite(progress.inertia) for progress in seen)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sample_size", [10, 500_000])
def test_nan_and_infinity_are_refused_wherever_they_are(value, sample_size):
    rows = blobs(9000)
    rows[8500, 2] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        BalancedKMeans(4, random_state=0, sample_size=sample_size).fit(rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((3, 2), np.float32), "n_samples=3 should be >= n_clusters=4"),
        (np.zeros((0, 2), np.float32), "0 sample"),
        (np.zeros((9, 0), np.float32), "0 feature"),
        (np.zeros(9, np.float32), "Expected 2D array"),
        (np.zeros((9, 2, 2), np.float32), "dim 3|dimension"),
    ],
)
def test_rows_of_a_wrong_shape(rows, message):
    with pytest.raises(ValueError, match=message):
        BalancedKMeans(4).fit(rows)


def test_predict_refuses_another_number_of_features():
    model = BalancedKMeans(4, random_state=0).fit(blobs(20))
    with pytest.raises(ValueError, match="6 features"):
        model.predict(np.zeros((3, 5), np.float32))


def test_all_wrong_parameters_are_named_at_once():
    model = BalancedKMeans(0, init="best", n_init=0, max_iter=0, tol=-1, sample_size=0, assignment="fair")
    with pytest.raises(ValueError, match="n_clusters") as caught:
        model.fit(blobs(20))
    for name in ("init", "n_init", "max_iter", "tol", "sample_size", "assignment"):
        assert f"`{name}`" in str(caught.value)


def test_start_centers_of_a_wrong_shape():
    with pytest.raises(ValueError, match=r"\(4, 6\), received \(3, 6\)"):
        BalancedKMeans(4, init=np.zeros((3, 6))).fit(blobs(20))


@parametrize_with_checks([BalancedKMeans(n_clusters=3, max_iter=20)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)
