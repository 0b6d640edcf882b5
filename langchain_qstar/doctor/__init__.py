"""`qstar doctor`: what this machine has, what it lacks, and how fast the bundled model runs."""
