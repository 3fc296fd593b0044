"""Our speed beside that of peers, at equal results: `python -m benchmarks`."""
