"""Training and evaluation programmes."""
