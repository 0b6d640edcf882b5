"""Word problems from random computation graphs, for training, tests and measurements."""
