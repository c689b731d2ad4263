"""Picture styles, made by image filters."""
