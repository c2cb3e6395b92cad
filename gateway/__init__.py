"""The HTTP edge: events in, pages out, the demo shop and the operations page."""
