"""Next-item models from logs of sessions or from user histories: readers, encoder, baselines, blend, report."""
