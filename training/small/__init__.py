"""Shops with few sessions: augmentation, warm start from a bigger shop, and the choice between them on a validation slice."""
