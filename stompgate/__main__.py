"""``python -m stompgate``: the same as the command ``stompgate``."""

from stompgate.cli.main import main

if __name__ == "__main__":
    main()
