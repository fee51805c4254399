"""Decides, and says what deciding so is worth."""
