"""Balanced k-means as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.metrics import euclidean_distances
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from usrn_keras.clustering.assignment import assign_rows
from usrn_keras.clustering.lloyd import Solution, fill_costs, fit_centers, start_centers
from usrn_keras.clustering.row_sweep import cheapest, squared_distances
from usrn_keras.clustering.rows import draw_sample, for_blocks, frame_block, sum_blocks

SAMPLE = 65_536  # rows that the centers are fitted on, or
SAMPLE_PER_CLUSTER = 2048  # as many where that is more: it costs about 1/2048 of the inertia
DTYPES = [np.float32, np.float64, np.float16]  # kept as they are; anything else becomes the first


class ClusteringProgress(NamedTuple):
    """What a callback is told."""

    phase: Literal["fit", "assign"]
    done: int  # Lloyd steps, or rows
    total: int  # at most so many steps, or all rows
    inertia: float  # mean squared distance of a row to its center


class BalancedKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """k-means with clusters of equal size, for millions of rows.

    Minimises the sum of squared distances between rows and the center of their cluster, all clusters holding
    `floor(n/K)` or `ceil(n/K)` rows. The centers are fitted on a random sample, in stages over growing parts
    of it; further passes, seldom more than two, label all rows. The size constraint becomes one price per
    cluster (semi-discrete optimal transport): a row belongs to the cluster `j` of least
    `|x - c_j|^2 + prices_[j]`.

    The rows may be a memory-mapped file: they are read in blocks and never copied as a whole. Beside them,
    memory holds the sample (`sample_size * (n_features + n_clusters)` float32), the labels, and about two
    candidate clusters per row: measured 0.65 GB for 3 million rows (256 features, 121 clusters), 0.72 GB for
    20 million (64, 64). Only if three passes fail does a fourth keep all `n_clusters` candidates of each row,
    which needs at least `8 * n * n_clusters` bytes.

    Args:
        n_clusters: number of clusters, 1 to n.
        init: `"k-means++"`, `"random"` (distinct rows), or an array `(n_clusters, n_features)`.
        n_init: number of starts; the best after a few steps on few rows goes on. 1 with an array as `init`.
        max_iter: most Lloyd steps.
        tol: stop when a step lowers the inertia by less than this part of it.
        sample_size: most rows that the centers are fitted on; None: 2048 per cluster, at least 65,536.
        assignment: `"balanced"`, or `"free"`: plain k-means by scikit-learn, clusters of any size.
        random_state: int, `numpy.random.RandomState` or None; with an int, results repeat exactly.
        n_jobs: threads, as in joblib: None is 1, -1 all cores. The result does not depend on it.
        callback: called with a `ClusteringProgress` after every Lloyd step and every block of labelled rows.

    Attributes:
        labels_: `(n,)` int32 cluster of each row.
        cluster_centers_: `(n_clusters, n_features)` float64 for float64 rows, else float32. `labels_` belongs
            to these centers.
        prices_: `(n_clusters,)` float64 in the unit of squared distances; zeros with `assignment="free"`.
        inertia_: sum of squared distances of all rows to the center of their label.
        gap_: no labels of these sizes have an inertia to these centers that is lower by more than this.
        cluster_sizes_: `(n_clusters,)` int64.
        n_iter_: Lloyd steps taken.
        n_features_in_: features seen by `fit`.

    Raises:
        ValueError: by `fit`, for parameters out of range (all at once), fewer rows than clusters, no rows,
            NaN or infinity, or an array that is not two-dimensional.

    Example:
        >>> import numpy as np
        >>> rows = np.random.default_rng(0).normal(size=(1000, 8)).astype("float32")
        >>> model = BalancedKMeans(n_clusters=7, random_state=0).fit(rows)
        >>> sorted(model.cluster_sizes_.tolist())
        [142, 143, 143, 143, 143, 143, 143]
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: str | ArrayLike = "k-means++",
        n_init: int = 4,
        max_iter: int = 100,
        tol: float = 1e-4,
        sample_size: int | None = None,
        assignment: Literal["balanced", "free"] = "balanced",
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        callback: Callable[[ClusteringProgress], None] | None = None,
    ):
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.sample_size = sample_size
        self.assignment = assignment
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.callback = callback

    def fit(self, X: ArrayLike, y: None = None) -> BalancedKMeans:
        """Clusters the rows of `X`, `(n, n_features)` float16, float32 or float64."""
        check_parameters(self)
        # NaN and infinity are found block by block, so that a large file is not read once more for them.
        X = validate_data(self, X, dtype=DTYPES, ensure_all_finite=False)
        if len(X) < self.n_clusters:
            raise ValueError(f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}.")
        with threadpool_limits(limits=1, user_api="blas"):
            self._fit(X, check_random_state(self.random_state), effective_n_jobs(self.n_jobs))
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Cluster of least `|x - c_j|^2 + prices_[j]` for each row, `(n,)` int32; sizes are not constrained.

        For the rows that were fitted it agrees with `labels_` but for the few rows on a border that were
        moved to make the sizes exact.
        """
        X = self._validate(X)
        labels = np.empty(len(X), np.int32)
        with threadpool_limits(limits=1, user_api="blas"):
            self._label(X, labels, effective_n_jobs(self.n_jobs))
        return labels

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Distance of each row to each center, `(n, n_clusters)`; float64 for float64 rows, else float32."""
        X = self._validate(X)
        wide = np.float64 if X.dtype == np.float64 else np.float32
        distances = np.empty((len(X), len(self.cluster_centers_)), wide)
        centers = self.cluster_centers_.astype(wide)

        def fill(start: int, stop: int) -> None:
            block = X[start:stop].astype(wide, copy=False)
            assert_all_finite(block, input_name="X")
            distances[start:stop] = euclidean_distances(block, centers)

        with threadpool_limits(limits=1, user_api="blas"):
            for_blocks(fill, len(X), effective_n_jobs(self.n_jobs))
        return distances

    def _fit(self, X: np.ndarray, rng: np.random.RandomState, threads: int) -> None:
        """Sample, centers, labels; sets every attribute."""
        size = self.sample_size or max(SAMPLE, SAMPLE_PER_CLUSTER * self.n_clusters)
        self._frame, sample = draw_sample(X, max(size, self.n_clusters), rng, threads)
        unit = self._frame.scale**2  # of squared distances in the frame
        init = (
            self.init if isinstance(self.init, str) else check_centers(self.init, self.n_clusters, X.shape[1])
        )
        if not isinstance(init, str):
            init = self._frame.apply(init)
        fitted = self._fit_free if self.assignment == "free" else self._fit_balanced
        found = fitted(sample, init, rng, threads)
        wide = np.float64 if X.dtype == np.float64 else np.float32
        self.cluster_centers_ = self._frame.restore(found.centers.astype(np.float64)).astype(wide)
        assert_all_finite(self.cluster_centers_, input_name="cluster_centers_")
        self.n_iter_ = found.steps
        if self.assignment == "free":
            self.prices_, self.gap_ = np.zeros(self.n_clusters), 0.0
            self.labels_ = np.empty(len(X), np.int32)
            inertia = self._label(X, self.labels_, threads)
        else:
            centers = self._framed_centers()
            assigned = assign_rows(
                lambda start, stop: frame_block(X, self._frame, start, stop),
                len(X),
                centers,
                found.prices,
                found.eps,
                sample,
                threads,
                report=lambda done, inertia: self._report("assign", done, len(X), inertia),
            )
            self.labels_, self.prices_, inertia = assigned.labels, assigned.prices / unit, assigned.inertia
            self.gap_ = assigned.gap / unit
        self.inertia_ = inertia / unit
        self.cluster_sizes_ = np.bincount(self.labels_, minlength=self.n_clusters)

    def _fit_balanced(
        self, sample: np.ndarray, init: str | np.ndarray, rng: np.random.RandomState, threads: int
    ) -> Solution:
        """Centers and prices of balanced clusters, in the frame."""
        starts = self.n_init if isinstance(init, str) else 1
        return fit_centers(
            sample,
            [start_centers(init, sample, self.n_clusters, rng) for _ in range(starts)],
            tol=self.tol,
            max_iter=self.max_iter,
            threads=threads,
            report=lambda state: self._report("fit", state.steps, self.max_iter, state.value),
        )

    def _fit_free(
        self, sample: np.ndarray, init: str | np.ndarray, rng: np.random.RandomState, threads: int
    ) -> Solution:
        """Centers of plain k-means, in the frame."""
        plain = KMeans(
            self.n_clusters,
            init=init,
            n_init=self.n_init if isinstance(init, str) else 1,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=rng,
        )
        with threadpool_limits(limits=1):  # its threads add up in any order
            plain.fit(sample)
        value = plain.inertia_ / len(sample)
        return Solution(plain.cluster_centers_, np.zeros(self.n_clusters), 0.0, value, plain.n_iter_)

    def _label(self, X: np.ndarray, labels: np.ndarray, threads: int) -> float:
        """Writes the cluster of least priced distance; returns the sum of squared distances in the frame."""
        centers, prices = self._framed_centers(), self.prices_ * self._frame.scale**2

        def part(start: int, stop: int) -> tuple[float]:
            block = frame_block(X, self._frame, start, stop)
            costs = np.empty((len(block), len(centers)), np.float32)
            fill_costs(block, centers, costs)
            labels[start:stop] = cheapest(costs, prices)
            return (squared_distances(block, centers, labels[start:stop]),)

        return sum_blocks(part, len(X), threads)[0]

    def _framed_centers(self) -> np.ndarray:
        """`cluster_centers_` in the frame: rounded to their type first, so that `fit` and `predict` agree."""
        return self._frame.apply(self.cluster_centers_.astype(np.float64))

    def _report(self, phase: str, done: int, total: int, inertia: float) -> None:
        """Tells the callback, inertia in the unit of the data."""
        if self.callback is not None:
            self.callback(ClusteringProgress(phase, done, total, inertia / self._frame.scale**2))

    def _validate(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=DTYPES, ensure_all_finite=False, reset=False)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)


def check_parameters(model: BalancedKMeans) -> None:
    """Raises one ValueError with every parameter that is out of range."""
    faults = []
    for name in ("n_clusters", "n_init", "max_iter", "sample_size"):
        value, least = getattr(model, name), 1
        if name == "sample_size" and value is None:
            continue
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            faults.append(f"`{name}` must be an int of at least {least}, received {value!r}")
    if not model.tol >= 0:
        faults.append(f"`tol` must be at least 0, received {model.tol!r}")
    if isinstance(model.init, str) and model.init not in ("k-means++", "random"):
        faults.append(f"`init` must be 'k-means++', 'random' or an array, received {model.init!r}")
    if model.assignment not in ("balanced", "free"):
        faults.append(f"`assignment` must be 'balanced' or 'free', received {model.assignment!r}")
    if faults:
        raise ValueError("; ".join(faults) + ".")


def check_centers(init: ArrayLike, clusters: int, features: int) -> np.ndarray:
    """An array given as `init`, `(clusters, features)` float64."""
    centers = np.asarray(init, dtype=np.float64)
    if centers.shape != (clusters, features):
        raise ValueError(
            f"`init` must be of shape (n_clusters, n_features) = ({clusters}, {features}), "
            f"received {centers.shape}."
        )
    assert_all_finite(centers, input_name="init")
    return centers
