"""Figures from records, one file a family: each function returns one, and none touches matplotlib's global state."""
