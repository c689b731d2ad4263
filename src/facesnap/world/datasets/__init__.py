"""Data sets of renders: shards, reading, checking, counting."""
