"""What the nearest rows say of a row."""
