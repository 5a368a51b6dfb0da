"""Formats of data sets on disk, one file each, which build a `Dataset` from a folder and lists of names."""
