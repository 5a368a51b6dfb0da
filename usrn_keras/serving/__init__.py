"""A page on this machine that segments photos with a trained run."""
