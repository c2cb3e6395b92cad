"""Faults on real processes under seeded traffic, and a checker that compares what was published with an oracle."""
