"""What verifies an answer, and mutual verification: masks, agreement, and which candidate wins.

A second model is shown the beginning of a candidate solution and completes it; where it
comes out at the candidate's answer, the two agree. Nothing here asks a model, reads a
tree or sees a gold answer: changing the gold answer cannot change what is returned.

Source: rStar (arXiv 2408.06195), section 3.3, and its official code.
"""
