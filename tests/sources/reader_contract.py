"""What every reader promises: its test class derives from `ReaderContract` and gives a format and a sound file."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import read

from core.sources import SUFFIXES, Text, Unreadable

_ANY = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


def assert_sound(text: Text) -> None:
    assert text.text.strip()
    assert text.title.strip()
    assert "\n" not in text.title
    for part in (text.title, text.text):
        assert not set(part) & {"\0", "\r"}
        part.encode("utf-8")  # fails on a lone surrogate


def assert_sound_or_unreadable(format: str, data: bytes) -> None:
    try:
        text = read(format, data)
    except Unreadable:
        return
    assert_sound(text)


class ReaderContract:
    format = ""

    @staticmethod
    def sample() -> bytes:
        raise NotImplementedError

    @classmethod
    @cache
    def sound(cls) -> bytes:
        return cls.sample()

    def test_a_sound_file_gives_a_sound_text(self) -> None:
        assert_sound(read(self.format, self.sound()))

    def test_the_same_bytes_give_the_same_text(self) -> None:
        assert read(self.format, self.sound()) == read(self.format, self.sound())

    @pytest.mark.parametrize("name", ["", ".", "a\udcff.txt", "a\0b\n.txt", ".txt", "文件.pdf"])
    def test_any_name_gives_a_sound_text(self, name: str) -> None:
        assert_sound(read(self.format, self.sound(), name))

    @pytest.mark.parametrize("data", [b"", b" \r\n\t\n"])
    def test_nothing_to_read_is_called_empty(self, data: bytes) -> None:
        with pytest.raises(Unreadable, match=r"\Aempty\Z"):
            read(self.format, data)

    def test_every_format_has_a_suffix(self) -> None:
        assert self.format in SUFFIXES.values()

    @_ANY
    @given(data=st.binary(max_size=400))
    def test_any_bytes_are_sound_or_unreadable(self, data: bytes) -> None:
        assert_sound_or_unreadable(self.format, data)

    @_ANY
    @given(share=st.floats(0, 1))
    def test_a_truncated_file_is_sound_or_unreadable(self, share: float) -> None:
        assert_sound_or_unreadable(self.format, self.sound()[: int(share * len(self.sound()))])

    @_ANY
    @given(share=st.floats(0, 1), garbage=st.binary(min_size=1, max_size=30))
    def test_an_overwritten_file_is_sound_or_unreadable(self, share: float, garbage: bytes) -> None:
        data = bytearray(self.sound())
        at = int(share * len(data))
        data[at : at + len(garbage)] = garbage
        assert_sound_or_unreadable(self.format, bytes(data))
