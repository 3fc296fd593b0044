"""The laws, a noun of the field each."""
