"""Judgements: what follows from estimates, from one log or from many days of evidence."""
