"""Which bases can be named, where they lie, and how they are read (docs/BASES.md)."""
