"""python -m boxship"""

from boxship.cli.main import main

if __name__ == "__main__":
    import os

    os.environ.setdefault("BOXSHIP_ARGV0", "boxship")
    main()
