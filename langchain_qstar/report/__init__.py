"""What people see: a solution and a running search in the terminal.

Needs the extra `cli` (rich). Notebooks are drawn by `rendering.solution_html`.
"""
