"""What step 1 shows: validation, progress, pictures."""
