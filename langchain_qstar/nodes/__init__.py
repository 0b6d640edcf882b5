"""The nodes of the search machines, one file each; the only floor that calls a model.

A node is written once, for both worlds: as a function that yields the model
calls it needs (see `phase.py`). Each is one batched superstep, however many
states are expanded in it.
"""
