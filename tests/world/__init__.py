"""Fakes of the ports: a small world that tests own, in simulated time."""
