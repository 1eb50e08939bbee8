"""The outside world, each client library behind one door."""
