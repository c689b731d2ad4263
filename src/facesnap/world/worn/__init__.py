"""What is worn or held before the face: glasses, masks, scarves, hands."""
