"""Other people's methods, trained and ranked in the same run as ours: they are only ever compared with."""
