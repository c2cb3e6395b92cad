"""Readers of other formats, as examples of bringing one's own data: a file in, events or catalogue items out."""
