"""Segment everything, and the guide maps made from what it finds."""
