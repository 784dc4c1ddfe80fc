from __future__ import annotations


class Spaces:
    """An analyzer whose tokens are plain to see: what stands between spaces."""

    settings = {"name": "spaces", "version": 1}  # noqa: RUF012
    identity = "a-spaces"

    def tokens(self, text: str) -> list[str]:
        return text.split()
