"""`python -m trio_sip` is `trio-sip`."""

from trio_sip.cli import main

if __name__ == "__main__":
    main()
