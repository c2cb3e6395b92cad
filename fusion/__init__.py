"""The networks, pure torch; `features.py` and `config.py` are NumPy only, for serving."""
