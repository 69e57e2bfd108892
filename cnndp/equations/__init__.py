"""P1's Eqs. (1) to (11) as pure functions on numbers and tensors: losses, budget, noise, step size.

A function comes in when an equation of P1 stands behind it, and its docstring names the number. Nothing here knows a
network, a dataset, a run or an accountant.
"""
