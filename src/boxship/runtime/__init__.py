"""OCI runtime: a bundle goes in, a process comes out. Knows no image and no SQL."""
