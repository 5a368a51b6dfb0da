"""BalancedKMeans beside its peers: CPU time, inertia, memory and sizes.

    python benchmarks/clustering.py 10k 50k --seeds 5 --peer PATH/regularized-k-means --csv FILE
    python benchmarks/clustering.py 200k 3m 20m oracle --csv FILE
    python benchmarks/clustering.py rows --rows features.npy --clusters 42 --csv FILE

Everything runs on one thread, unless `--threads` gives BalancedKMeans more, each fit in a process of its own.
A *pass* is the CPU time of the matrix product of all rows and all centers, `2 n K d` operations at the sgemm
rate of one thread of this machine, measured just before the fit. Peers: k-means-constrained (from PyPI), and
the program of the USRN paper, regularized-k-means with the method `hard`, if `--peer` names its binary. The
inertia is about the means of the clusters for all of them.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
if __name__ == "__main__":
    os.environ.update(ONE_THREAD)  # before numpy is loaded

import numpy as np  # noqa: E402
from scipy.optimize import linear_sum_assignment  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table  # noqa: E402
from benchmarks.mixture import mixture  # noqa: E402
from benchmarks.options import add_row_options  # noqa: E402

BLOCK = 4096
CASES = {  # rows, features, clusters, dtype, methods
    "10k": (10_000, 256, 40, "float32", ("usrn-keras", "k-means-constrained", "regularized-k-means")),
    "50k": (50_000, 256, 40, "float32", ("usrn-keras", "regularized-k-means")),
    "200k": (200_000, 256, 120, "float32", ("usrn-keras", "usrn-keras half", "usrn-keras quarter")),
    "3m": (3_000_000, 256, 121, "float16", ("usrn-keras",)),
    "20m": (20_000_000, 64, 64, "float16", ("usrn-keras",)),
}
IN_MEMORY = 500_000  # more rows are read from a file


class PeakMemory:
    """Most anonymous memory of this process while the block runs: what is resident above the page cache."""

    def __enter__(self) -> PeakMemory:
        self.start = self.peak = _anonymous()
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._run)
        self._watch.start()
        return self

    def _run(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, _anonymous())

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._watch.join()


def _anonymous() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status does not say RssAnon: this benchmark needs Linux")


def sgemm_rate(features: int, clusters: int) -> float:
    """Multiplications and additions per CPU second of one thread."""
    rng = np.random.default_rng(0)
    left, right = rng.random((BLOCK, features), np.float32), rng.random((features, clusters), np.float32)
    product = np.empty((BLOCK, clusters), np.float32)
    np.matmul(left, right, out=product)
    repeats, started = 0, time.process_time()
    while time.process_time() - started < 0.5:
        np.matmul(left, right, out=product)
        repeats += 1
    return repeats * 2 * BLOCK * features * clusters / (time.process_time() - started)


def usrn_keras(
    rows: np.ndarray, clusters: int, seed: int, sample: int | None = None, threads: int = 1
) -> tuple[np.ndarray, dict]:
    from usrn_keras.clustering import BalancedKMeans

    small = np.random.default_rng(0).normal(size=(3000, 8)).astype(rows.dtype)
    for sample_size in (None, 1000):  # compiled beforehand
        BalancedKMeans(30, random_state=0, sample_size=sample_size).fit(small)
    model = BalancedKMeans(clusters, random_state=seed, sample_size=sample, n_jobs=threads)
    started, wall = time.process_time(), time.perf_counter()
    model.fit(rows)
    facts = {"cpu_seconds": time.process_time() - started, "wall_seconds": time.perf_counter() - wall}
    return model.labels_, {**facts, "gap": model.gap_ / model.inertia_, "steps": model.n_iter_}


def k_means_constrained(rows: np.ndarray, clusters: int, seed: int) -> tuple[np.ndarray, dict]:
    from k_means_constrained import KMeansConstrained

    least, most = len(rows) // clusters, -(-len(rows) // clusters)
    model = KMeansConstrained(clusters, size_min=least, size_max=most, n_init=1, random_state=seed, n_jobs=1)
    started = time.process_time()
    model.fit(rows)
    return model.labels_, {"cpu_seconds": time.process_time() - started, "steps": model.n_iter_}


def regularized_k_means(rows: np.ndarray, clusters: int, seed: int, binary: str) -> tuple[np.ndarray, dict]:
    """CPU time of the program as a whole, reading its CSV included (about half a second for 10,000 x 256)."""
    with tempfile.TemporaryDirectory() as folder:
        values, assigned = Path(folder) / "rows.csv", Path(folder) / "assigned"
        np.savetxt(values, rows, fmt="%.9g", delimiter=",")
        command = [binary, "hard", values, clusters, "-a", assigned, "-o", Path(folder) / "summary"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [str(part) for part in [*command, "-t", 1, "-s", seed + 1]], check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        labels = np.loadtxt(f"{assigned}.csv", dtype=np.int64)
    return labels, {"cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def inertia_of(rows: np.ndarray, labels: np.ndarray, clusters: int) -> float:
    """Sum of squared distances to the means of the clusters, float64."""
    sums, squares = np.zeros((clusters, rows.shape[1])), 0.0
    sizes = np.bincount(labels, minlength=clusters)
    for start in range(0, len(rows), 65_536):
        block = rows[start : start + 65_536].astype(np.float64)
        order = np.argsort(labels[start : start + len(block)], kind="stable")
        sorted_labels = labels[start : start + len(block)][order]
        first = np.flatnonzero(np.diff(sorted_labels, prepend=-1))
        sums[sorted_labels[first]] += np.add.reduceat(block[order], first, axis=0)
        squares += np.vdot(block, block)
    return float(squares - (sums**2 / np.maximum(sizes, 1)[:, None]).sum())


def measured(
    method: Callable[..., tuple[np.ndarray, dict]],
    rows: np.ndarray,
    clusters: int,
    seed: int,
    **options: object,
) -> dict:
    """One fit: time, memory, sizes, inertia."""
    rate = sgemm_rate(rows.shape[1], clusters)
    one_pass = 2.0 * len(rows) * rows.shape[1] * clusters / rate
    with PeakMemory() as memory:
        labels, facts = method(rows, clusters, seed, **options)
    sizes = np.bincount(labels, minlength=clusters)
    return {
        "cpu_seconds": round(facts["cpu_seconds"], 3),
        "wall_seconds": round(facts["wall_seconds"], 1) if "wall_seconds" in facts else "",
        "sgemm_gflops": round(rate / 1e9, 1),
        "passes": round(facts["cpu_seconds"] / one_pass, 1),
        "inertia": f"{inertia_of(rows, labels, clusters):.8g}",
        "gap": f"{facts['gap']:.1e}" if "gap" in facts else "",
        "steps": facts.get("steps", ""),
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        "anonymous_mb": round((memory.peak - memory.start) / 1e6),
    }


def oracle(seed: int) -> dict:
    """Labels of a fit against the optimum at its centers, by the Hungarian algorithm."""
    from usrn_keras.clustering import BalancedKMeans

    rows, clusters = mixture(2000, 32, seed), 20
    model = BalancedKMeans(clusters, random_state=seed).fit(rows)
    squares = ((rows[:, None].astype(np.float64) - model.cluster_centers_) ** 2).sum(axis=2)
    mine = squares[np.arange(len(rows)), model.labels_].sum()
    places = np.repeat(squares, len(rows) // clusters, axis=1)
    return {"excess": mine / places[linear_sum_assignment(places)].sum() - 1.0}


def run_one(options: argparse.Namespace) -> dict:
    """One fit of one case, in this process."""
    if options.case[0] == "oracle":
        return {"inertia": "", "excess_over_optimum": f"{oracle(options.seed)['excess']:.1e}"}
    if options.case[0] == "rows":
        rows, clusters = np.load(options.rows, mmap_mode="r"), options.clusters
    else:
        count, features, clusters, dtype, _ = CASES[options.case[0]]
        file = options.scratch / f"{options.case[0]}-{options.seed}.rows" if count > IN_MEMORY else None
        rows = mixture(count, features, options.seed, dtype, file)
        if file:
            rows = np.memmap(file, dtype, "r", shape=(count, features))
    ours = functools.partial(usrn_keras, threads=options.threads)
    method = {
        "usrn-keras": ours,
        # The default fits the centers on all of so few rows.
        "usrn-keras half": functools.partial(ours, sample=len(rows) // 2),
        "usrn-keras quarter": functools.partial(ours, sample=len(rows) // 4),
        "k-means-constrained": k_means_constrained,
        "regularized-k-means": functools.partial(regularized_k_means, binary=options.peer),
    }[options.method]
    found = measured(method, rows, clusters, options.seed)
    return {
        "rows": len(rows),
        "features": rows.shape[1],
        "clusters": clusters,
        "dtype": str(rows.dtype),
        **found,
    }


def run_all(options: argparse.Namespace) -> Iterator[dict]:
    """A row for each fit, each in a process of its own; the methods of a case take turns."""
    for case, seed, method in plan(options):
        threads = options.threads if method.startswith("usrn-keras") else 1
        row = {"case": case, "method": method, "seed": seed, "n_jobs": threads}
        yield row | run_apart(case, method, seed, threads, options)


def plan(options: argparse.Namespace) -> list[tuple[str, int, str]]:
    """Case, seed and method of every fit."""
    return [
        (case, seed, method)
        for case in options.case
        for seed in range(options.seeds)
        for method in (CASES[case][-1] if case in CASES else ("usrn-keras",))
        if method != "regularized-k-means" or options.peer
    ]


def run_apart(case: str, method: str, seed: int, threads: int, options: argparse.Namespace) -> dict:
    """What `run_one` gives in a new process."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        given = {
            "method": method, "seed": seed, "threads": threads, "scratch": scratch, "peer": options.peer,
            "clusters": options.clusters, "rows": options.rows,
        }  # fmt: skip
        flags = [str(part) for name, value in given.items() if value for part in (f"--{name}", value)]
        command = [sys.executable, __file__, case, *flags]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("case", nargs="+", choices=[*CASES, "rows", "oracle"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--peer", default="", help="binary of regularized-k-means")
    parser.add_argument("--threads", type=int, default=1, help="n_jobs of BalancedKMeans")
    parser.add_argument("--rows", type=Path, help="case rows: .npy file of rows")
    parser.add_argument("--clusters", type=int, default=40, help="case rows: how many")
    parser.add_argument(
        "--scratch", type=Path, default=Path(tempfile.gettempdir()), help="folder for large files"
    )
    add_row_options(parser)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    if given.method:
        print(json.dumps(run_one(given)))
    else:
        table.publish(run_all(given), machine.facts(given.commit), given.csv)
