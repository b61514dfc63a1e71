"""Benchmarks: each checks its answer first, then prints a ratio against a yardstick in the same process."""
