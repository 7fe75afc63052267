"""Named volumes and what -v and --mount mean."""
