"""Learning on from the event log: clicks in order, replay of old sessions, a drift check, evaluation, a new version."""
