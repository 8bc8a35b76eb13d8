"""One perturbation for all photos: trained on some, saved with a card, fitted to any photo. The loop is the room's."""
