"""Attacks on private runs: canaries and bounds, planted mistakes, membership, and checks of training from outside.

Whatever tries to refute a guarantee comes in here, with a control that shows that it can. It goes through the same
wiring as training, so that a mistake there is one that it can catch.
"""
