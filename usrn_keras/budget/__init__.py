"""Estimate memory and time of training on this machine from two measured batch sizes."""
