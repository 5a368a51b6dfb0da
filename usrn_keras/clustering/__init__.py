"""Clustering with equal cluster sizes for millions of rows. Independent of images and usable on its own."""

from usrn_keras.clustering.balanced_kmeans import BalancedKMeans, ClusteringProgress

__all__ = ["BalancedKMeans", "ClusteringProgress"]
