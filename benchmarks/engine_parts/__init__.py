"""Parts of `engine.py`."""
