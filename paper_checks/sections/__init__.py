"""The sections of the report, a file each; `paper_checks.report` puts them in order."""
