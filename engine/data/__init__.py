"""Tables and where they come from: the session, the sources and the rewards."""
