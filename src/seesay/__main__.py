"""`python -m seesay` is `seesay`."""

from seesay.cli.main import main

main()
