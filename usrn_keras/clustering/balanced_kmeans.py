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
from usrn_keras.clustering.rows import draw_sample, frame_block, run_blocks, sum_blocks

SAMPLE = 65_536  # least number of rows that the centers are fitted on
SAMPLE_PER_CLUSTER = 2048  # rows per cluster, if that is more: the inertia grows by about 1/2048
DTYPES = [np.float32, np.float64, np.float16]  # accepted types; other types are converted to the first


class ClusteringProgress(NamedTuple):
    """State of the clustering that the callback receives."""

    phase: Literal["fit", "assign"]
    done: int  # completed Lloyd steps, or labelled rows
    total: int  # largest number of steps, or number of rows
    inertia: float  # mean squared distance of a row to its center


class BalancedKMeans(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator):
    """K-means with clusters of equal size, for millions of rows.

    Minimises the sum of squared distances between rows and the center of their cluster under the constraint
    that all clusters have `floor(n/K)` or `ceil(n/K)` rows. The centers are fitted on a random sample, in
    stages over growing parts of it. Further passes, rarely more than two, label all rows. The size
    constraint becomes one price per cluster (semi-discrete optimal transport): a row belongs to the cluster
    `j` of least `|x - c_j|^2 + prices_[j]`.

    The rows may be a memory-mapped file: they are read in blocks and never copied as a whole. In addition,
    memory holds the sample (`sample_size * (n_features + n_clusters)` float32), the labels, and about two
    candidate clusters per row: 0.65 GB measured for 3 million rows (256 features, 121 clusters), 0.72 GB for
    20 million (64, 64). Only if three passes fail, a fourth pass keeps all `n_clusters` candidates of each
    row, which needs at least `8 * n * n_clusters` bytes.

    Args:
        n_clusters: Number of clusters, 1 to n.
        init: Initial centers: `"k-means++"`, `"random"` (distinct rows), or an array
            `(n_clusters, n_features)`.
        n_init: Number of starts. The best one after a few steps on few rows is continued. Ignored (1) with an
            array as `init`.
        max_iter: Largest number of Lloyd steps.
        tol: Relative decrease of the inertia below which the iteration stops.
        sample_size: Largest number of rows that the centers are fitted on; None for 2048 per cluster and at
            least 65,536.
        assignment: `"balanced"`, or `"free"` for the k-means of scikit-learn, with clusters of any size.
        random_state: Seed as an int, `numpy.random.RandomState` or None. With an int, results are
            reproducible.
        n_jobs: Number of threads, as in joblib: None is 1, -1 all cores. The result does not depend on it.
        callback: Function called with a `ClusteringProgress` after every Lloyd step and every block of
            labelled rows.

    Attributes:
        labels_: Cluster of each row, `(n,)` int32.
        cluster_centers_: Centers `(n_clusters, n_features)` that `labels_` belongs to, float64 for float64
            rows, otherwise float32.
        prices_: Prices `(n_clusters,)` float64 in the unit of squared distances; zeros with
            `assignment="free"`.
        inertia_: Sum of squared distances of all rows to the center of their cluster.
        gap_: Upper bound on the distance of `inertia_` to the lowest inertia for these centers and sizes.
        cluster_sizes_: Number of rows of each cluster, `(n_clusters,)` int64.
        n_iter_: Number of Lloyd steps.
        n_features_in_: Number of features in `fit`.

    Raises:
        ValueError: Raised by `fit` for parameters out of range (all at once), fewer rows than clusters, no
            rows, NaN or infinity, or an array that is not two-dimensional.

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
        """Cluster rows.

        Args:
            X: Rows `(n, n_features)` float16, float32 or float64, which may be memory-mapped.
            y: Ignored.
        """
        check_parameters(self)
        # NaN and infinity are detected block by block, which saves a further pass over a large file.
        X = validate_data(self, X, dtype=DTYPES, ensure_all_finite=False)
        if len(X) < self.n_clusters:
            raise ValueError(f"n_samples={len(X)} should be >= n_clusters={self.n_clusters}.")
        with threadpool_limits(limits=1, user_api="blas"):
            self._fit(X, check_random_state(self.random_state), effective_n_jobs(self.n_jobs))
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the cluster of least `|x - c_j|^2 + prices_[j]` for each row. Sizes are not constrained.

        For the rows of `fit` the result equals `labels_`, except for a few rows at borders that were moved
        to make the sizes exact.

        Args:
            X: Rows `(n, n_features)`.

        Returns:
            `(n,)` int32.
        """
        X = self._validate(X)
        labels = np.empty(len(X), np.int32)
        with threadpool_limits(limits=1, user_api="blas"):
            self._label(X, labels, effective_n_jobs(self.n_jobs))
        return labels

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Compute the distance of each row to each center.

        Args:
            X: Rows `(n, n_features)`.

        Returns:
            `(n, n_clusters)`, float64 for float64 rows, otherwise float32.
        """
        X = self._validate(X)
        wide = np.float64 if X.dtype == np.float64 else np.float32
        distances = np.empty((len(X), len(self.cluster_centers_)), wide)
        centers = self.cluster_centers_.astype(wide)

        def fill(start: int, stop: int) -> None:
            block = X[start:stop].astype(wide, copy=False)
            assert_all_finite(block, input_name="X")
            distances[start:stop] = euclidean_distances(block, centers)

        with threadpool_limits(limits=1, user_api="blas"):
            run_blocks(fill, len(X), effective_n_jobs(self.n_jobs))
        return distances

    def _fit(self, X: np.ndarray, rng: np.random.RandomState, threads: int) -> None:
        """Draw the sample, fit the centers, label all rows, and set every attribute."""
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
        """Fit centers and prices of balanced clusters, in the frame."""
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
        """Fit centers with plain k-means, in the frame."""
        plain = KMeans(
            self.n_clusters,
            init=init,
            n_init=self.n_init if isinstance(init, str) else 1,
            max_iter=self.max_iter,
            tol=self.tol,
            random_state=rng,
        )
        with threadpool_limits(limits=1):  # threads would sum in any order
            plain.fit(sample)
        value = plain.inertia_ / len(sample)
        return Solution(plain.cluster_centers_, np.zeros(self.n_clusters), 0.0, value, plain.n_iter_)

    def _label(self, X: np.ndarray, labels: np.ndarray, threads: int) -> float:
        """Write the cluster of least priced distance; returns the sum of squared distances in the frame."""
        centers, prices = self._framed_centers(), self.prices_ * self._frame.scale**2

        def part(start: int, stop: int) -> tuple[float]:
            block = frame_block(X, self._frame, start, stop)
            costs = np.empty((len(block), len(centers)), np.float32)
            fill_costs(block, centers, costs)
            labels[start:stop] = cheapest(costs, prices)
            return (squared_distances(block, centers, labels[start:stop]),)

        return sum_blocks(part, len(X), threads)[0]

    def _framed_centers(self) -> np.ndarray:
        """`cluster_centers_` in the frame, rounded to their type first, so that `fit` and `predict` agree."""
        return self._frame.apply(self.cluster_centers_.astype(np.float64))

    def _report(self, phase: str, done: int, total: int, inertia: float) -> None:
        """Call the callback, with the inertia in the unit of the data."""
        if self.callback is not None:
            self.callback(ClusteringProgress(phase, done, total, inertia / self._frame.scale**2))

    def _validate(self, X: ArrayLike) -> np.ndarray:
        check_is_fitted(self)
        return validate_data(self, X, dtype=DTYPES, ensure_all_finite=False, reset=False)

    @property
    def _n_features_out(self) -> int:
        return len(self.cluster_centers_)


def check_parameters(model: BalancedKMeans) -> None:
    """Check the parameters of a model.

    Raises:
        ValueError: Parameters are out of range; the message lists all of them.
    """
    errors = []
    for name in ("n_clusters", "n_init", "max_iter", "sample_size"):
        value, least = getattr(model, name), 1
        if name == "sample_size" and value is None:
            continue
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            errors.append(f"`{name}` must be an int of at least {least}, received {value!r}")
    if not model.tol >= 0:
        errors.append(f"`tol` must be at least 0, received {model.tol!r}")
    if isinstance(model.init, str) and model.init not in ("k-means++", "random"):
        errors.append(f"`init` must be 'k-means++', 'random' or an array, received {model.init!r}")
    if model.assignment not in ("balanced", "free"):
        errors.append(f"`assignment` must be 'balanced' or 'free', received {model.assignment!r}")
    if errors:
        raise ValueError("; ".join(errors) + ".")


def check_centers(init: ArrayLike, clusters: int, features: int) -> np.ndarray:
    """Validate an array of initial centers and convert it to `(clusters, features)` float64."""
    centers = np.asarray(init, dtype=np.float64)
    if centers.shape != (clusters, features):
        raise ValueError(
            f"`init` must be of shape (n_clusters, n_features) = ({clusters}, {features}), "
            f"received {centers.shape}."
        )
    assert_all_finite(centers, input_name="init")
    return centers
