"""The benchmark of judgement: our gate and its rivals in the same simulated releases."""
