"""What everything else is made of: errors, durations, percents, names."""
