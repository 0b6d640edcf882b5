"""Measuring methods against gold answers, which only this package ever sees."""
