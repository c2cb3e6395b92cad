"""The HTTP gateway: events and catalogue in, pages out, the demo shop and the operations page."""
