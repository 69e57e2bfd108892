"""One run: its config, network, clipped gradients, batches, noise and steps, put together and taken in a loop.

A new step rule, clip, sampler or network comes in here, and shows as a field of `Config`. Nothing here knows a paper, a
record, a notebook or a figure. Equations + privacy + training are the small module: it can be used by itself.
"""
