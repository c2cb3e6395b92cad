"""Measurements: `python -m benchmarks` writes JSON and pictures into `benchmarks/results`."""
