"""Kinds of claims: what a number is a difference to, and the verdicts that hold whatever the runs say."""

NOISE_FREE = "noise-free"  # points below the same network without noise
BEST, WORST = "best baseline", "worst baseline"  # points above it
INCONSISTENT = "inconsistent within the paper"
MISQUOTED = "inconsistent with its source"
NOT_TESTABLE = "not testable"
