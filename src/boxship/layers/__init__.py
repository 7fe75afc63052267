"""Tar stream <-> directory: apply (whiteouts, hostile names), diff, deterministic headers; the merged view of stacked layers."""
