"""Prompts, metrics, and the scoring of one photo."""
