"""What the benchmarks of real models share: files, plain prompts, bare decoding, banks."""
