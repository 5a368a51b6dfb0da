"""Memory and time of training on this machine: measured at two batch sizes and extrapolated."""
