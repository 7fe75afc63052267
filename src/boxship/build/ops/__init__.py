"""What each kind of step does to the directory of its new layer."""
