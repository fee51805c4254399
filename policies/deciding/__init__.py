"""From a policy and the rules to one drawn action per customer."""
