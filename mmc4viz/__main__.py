"""``python -m mmc4viz`` is the command ``mmc4viz``."""

from mmc4viz.cli import main

if __name__ == "__main__":
    main()
