"""The worker: folds events into session state, asks the ranker, publishes pages. Faust only in `app.py`."""
