"""Where facts come from: customers, events, outcomes, and decisions of other systems."""
