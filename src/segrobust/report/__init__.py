"""From stored results to tables and pictures."""
