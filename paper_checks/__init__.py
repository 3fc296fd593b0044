"""The top floor: the command line, the claims and the report. It may import every other floor; none imports it."""
