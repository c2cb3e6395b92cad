"""How quality holds when texts, pictures or clicks are wrong or hostile, and who gets the exposure."""
