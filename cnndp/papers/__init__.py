"""What the two papers state, as data, the methods that they name, and the runs that each figure and table takes.

A claim, a table, a preset or a section comes in here. Nothing here trains or measures: it says what should be run and
what was printed.
"""
