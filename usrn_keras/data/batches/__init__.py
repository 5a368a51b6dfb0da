"""From samples to batches: weak views for training, padded whole images for measuring."""
