"""Mutual verification in a search: candidates of a tree, a second model's completions, the outcome.

The arithmetic is in `langchain_qstar.verification`.
"""
