"""How data sets lie on disk: one file per format, from a root folder and lists of names to a `Dataset`."""
