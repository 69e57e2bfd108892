"""The datasets: fetched and verified, split and resized, as pixels or as privately prepared scattering features.

A new source of images, or a new thing to make of them before training, comes in here. Nothing here trains; what is
learnt from the data and released is `preparation`'s, with the sensitivity that its ledger entry needs.
"""
