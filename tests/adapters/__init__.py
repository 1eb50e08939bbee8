"""Specification of the adapters: what they make of servers that behave and misbehave."""
