"""The nodes of the rStar machine, one file each, and the pure functions they are made of.

An expansion is one superstep: the legal actions run beside each other, so that
their requests reach the model together.
"""
