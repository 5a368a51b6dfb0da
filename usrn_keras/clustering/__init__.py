"""Clusters of equal size for millions of rows. Knows nothing of images: of use on its own."""

from usrn_keras.clustering.balanced_kmeans import BalancedKMeans, ClusteringProgress

__all__ = ["BalancedKMeans", "ClusteringProgress"]
