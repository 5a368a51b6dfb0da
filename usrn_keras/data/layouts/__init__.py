"""How data sets lie on disk: from a root folder and lists of names to a `Dataset`."""
