"""What the world should be: one pure, total function."""
