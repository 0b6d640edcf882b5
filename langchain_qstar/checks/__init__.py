"""Checks: deterministic verdicts on steps, and the comparison of LaTeX answers."""
