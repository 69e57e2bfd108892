"""What was released and what it costs: ledger, accounting, trade-off curves, calibration, plan and guard, filters.

A mechanism comes in with its sensitivity, its event and its price. Epsilons follow from a ledger, never from an
intention. Nothing here knows how a gradient is made, or that there are images.
"""
