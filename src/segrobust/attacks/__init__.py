"""Attacks: objective x views x update, one loop; ``recipes`` names the compositions."""
