"""Batches: what one holds, samples read and cached, loaded in order, padded to few sizes."""
