"""Defences by their names: what is done to a photo before a model sees it, and how an attack takes it into account."""
