"""`subclasses.starts`: sum of squares, class balance and time of few rows, by the number of starts.

    python benchmarks/starts.py --rows 333 --clusters 15 --starts 4 20 --seeds 5

Rows of `benchmarks/mixture.py`, 256 features; a line for each number of starts with means over the seeds.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.mixture import mixture
from usrn_keras.subclasses.class_balance import Clustering, class_balance_rate
from usrn_keras.subclasses.class_clusters import cluster_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=333)
    parser.add_argument("--clusters", type=int, default=15)
    parser.add_argument("--starts", type=int, nargs="+", default=[4, 20])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    cluster_rows(mixture(64, 256, 0), 2, Clustering())  # so that no compiler is timed
    for starts in options.starts:
        squares, balance, start = [], [], time.process_time()
        for seed in range(options.seeds):
            rows = mixture(options.rows, 256, seed)
            found = cluster_rows(rows, options.clusters, Clustering(starts=starts, seed=seed))
            squares.append(found.inertia)
            balance.append(class_balance_rate(found.sizes))
        seconds = (time.process_time() - start) / options.seeds
        print(
            f"{starts} starts: squared distance {np.mean(squares):.2f}, class balance rate "
            f"{np.mean(balance):.2%}, {seconds:.2f} CPU seconds"
        )


if __name__ == "__main__":
    main()
