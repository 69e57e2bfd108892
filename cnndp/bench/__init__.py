"""What a private step costs in time and memory, beside ordinary SGD and Opacus: measured, and in words.

A new variant or peer comes in here, measured in turns with the others within one run.
"""
