"""One module for each page that scripts/reference.py makes."""
