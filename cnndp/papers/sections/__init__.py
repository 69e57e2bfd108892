"""The sections of the book: which runs each figure and table has, under which names. `plan` is the way in.

A section is a function from a dataset and a number of steps to Configs by label, and a line in `plan.SECTIONS`.
"""
