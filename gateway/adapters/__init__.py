"""Foreign event formats, unchanged, into ours: pure functions of a payload."""
