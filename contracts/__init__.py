"""What crosses a process boundary: messages, topics, tensors, settings, errors. Imports nothing of ours."""
