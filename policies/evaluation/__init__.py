"""Off-policy evaluation: what a policy would have earned, how sure that is, and what follows."""
