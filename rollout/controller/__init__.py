"""The loop: watch, observe, decide, apply."""
