"""Attacks that only ask: a black box is shown photos and gives masks; what it is asked is counted."""
