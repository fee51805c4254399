"""Learning a candidate from the matured log."""
