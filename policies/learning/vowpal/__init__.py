"""Vowpal Wabbit: the policy, its settings, its text, its driver and its compiled scorer."""
