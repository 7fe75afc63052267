"""Blobs by digest: ingest, commit, open, delete."""
