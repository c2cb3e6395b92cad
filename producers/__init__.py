"""Everything that writes to the input topics."""
