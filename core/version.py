"""The version of samespace, as recorded in every generation; the same as in pyproject.toml (a test compares them)."""

VERSION = "0.1.0"
