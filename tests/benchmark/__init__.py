"""Benchmarks: real processes, measured from outside, compared with what was promised."""
