"""Towers tuned to a shop's own labels: fully, by low-rank adapters or not at all; and what to do with few labels."""
