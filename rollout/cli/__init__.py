"""Where people come in: one verb per module."""
