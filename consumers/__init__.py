"""Everything that reads pages."""
