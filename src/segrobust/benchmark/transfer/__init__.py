"""Attacks made on some models, their saved photos scored on others: from one plan to one folder."""
