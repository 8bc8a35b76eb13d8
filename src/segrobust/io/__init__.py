"""Photos, masks and files, in and out."""
