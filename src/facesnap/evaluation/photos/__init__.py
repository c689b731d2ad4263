"""``facesnap evaluate --suite photos``: an adapter on photographs of people that it wasn't trained on."""
