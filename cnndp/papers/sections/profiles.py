"""The sizes at which a section can be run, by name: a leaf, so that the command line's help needs no torch."""

PROFILES = ("small", "reduced", "paper")
