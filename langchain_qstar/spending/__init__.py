"""Budgets while a model works: what may still be spent, and how sampling is held to it.

A node of a search, or a baseline, says what its calls may spend (`allowance.held_to`); whoever
samples below it, scorers too, does so by `drawing`, and whoever waits for anything else by
`in_time`. So a budget is a bound, whatever model is asked and however much it would write.
"""
