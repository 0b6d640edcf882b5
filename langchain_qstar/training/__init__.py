"""Making the bundled model and its Q-value head."""
