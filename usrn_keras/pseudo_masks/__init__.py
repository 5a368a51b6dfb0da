"""Pseudo masks on disk: which predicted pixels are kept, and the files of both passes, without Keras."""
