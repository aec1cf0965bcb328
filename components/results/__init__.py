"""What users take away: the gallery, the scored table, a picture."""
