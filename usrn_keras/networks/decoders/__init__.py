"""Decoders, one file each; `decoder_options` finds them by name."""
