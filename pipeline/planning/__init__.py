"""What a larger run takes."""
