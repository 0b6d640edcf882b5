"""Local and remote models as policies."""
