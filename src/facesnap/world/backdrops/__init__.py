"""What is behind a person: backdrops, rooms, places."""
