"""What each policy would have earned, whether customers changed, and the page that says so."""
