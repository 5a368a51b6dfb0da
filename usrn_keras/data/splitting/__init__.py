"""Random splits: drawing which images are labelled, and writing their lists as a folder."""
