"""`python -m bench.fill --rows 5000000 --days 90`: a ledger of any size to measure pages on."""

from demo.fill import main

if __name__ == "__main__":
    main("python -m bench.fill")
