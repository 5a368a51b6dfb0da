"""Decoding: from image and mask files to arrays."""
