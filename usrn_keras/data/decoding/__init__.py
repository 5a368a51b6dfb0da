"""Read the bytes of image and mask files: facts, strict decoding, orientation, ranges of values."""
