"""The REST API, one file per kind of thing."""
