"""Which languages a text is in, by its script and its most frequent words."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.language import MUCH, WHOLE, language_shares, languages, names_of, not_known, sample, shares, total, unknown
from core.types import Document

PROSE = {
    "en": "The bank lends money to its customers, and they pay interest for that every month.",
    "zh": "银行把钱借给客户，客户每个月支付利息。利率上周又下调了，存款的人并不高兴。",
    "ja": "銀行は顧客にお金を貸し、顧客は毎月利息を支払います。",
    "ko": "은행은 고객에게 돈을 빌려주고 고객은 매달 이자를 낸다.",
    "fr": "La banque prête de l'argent à ses clients, qui paient des intérêts pour cela tous les mois.",
    "de": "Die Bank verleiht Geld an ihre Kunden, und sie zahlen dafür jeden Monat Zinsen auf den Betrag.",
    "es": "El banco presta dinero a los clientes, que pagan intereses por el préstamo todos los meses.",
    "it": "La banca presta il denaro ai clienti, che pagano gli interessi per il prestito della banca.",
    "pt": "O banco empresta dinheiro aos clientes, que pagam juros todos os meses e não são uma exceção.",
    "nl": "De bank leent geld aan de klanten, en zij betalen het met een rente van de lening.",
    "id": "Bank itu meminjamkan uang dengan bunga dan tidak ada yang gratis untuk nasabah dari bank ini.",
    "und": "Банк выдаёт деньги клиентам, и они платят проценты.",
}
CODE = [
    "def f(x):\n    return [el.strip() for el in x if el]  # keep les_params\n",
    "2024-01-02 12:00:01 INFO srv[12] conn closed code=E-1047 addr=10.0.0.1",
    "ERR_CONN_4032 timeout",
    "README TODO",
    "SELECT id, total FROM orders WHERE status = 'open' ORDER BY created_at DESC;",
]


@pytest.mark.parametrize("language", PROSE)
def test_prose(language: str) -> None:
    assert languages(PROSE[language]) == {language: WHOLE}


@pytest.mark.parametrize("text", CODE)
def test_code_and_logs_are_english(text: str) -> None:
    assert languages(text) == {"en": WHOLE}


@pytest.mark.parametrize(
    "text", ["Bank udziela pożyczek klientom i płaci odsetki.", "Bankalar müşterilere kredi verir."]
)
def test_latin_letters_of_no_language_listed(text: str) -> None:
    assert languages(text) == {"und": WHOLE}


@pytest.mark.parametrize("text", ["", "   ", "1234 5678", "!?"])
def test_without_letters_nothing_is_said(text: str) -> None:
    assert languages(text) == {}


def test_mixed_text_has_shares_by_what_the_characters_say() -> None:
    """A Han character weighs three letters, as the same text in English has 3.1 times as many characters."""
    assert languages("用 Docker 部署集群") == {"en": 285, "zh": 715}  # 6 letters, 5 characters


def test_quotations_and_names_are_not_counted() -> None:
    assert languages(PROSE["en"] * 3 + " 银行") == {"en": WHOLE}
    assert languages(PROSE["zh"] * 3 + " (ING Bank)") == {"zh": WHOLE}
    assert languages(PROSE["zh"] + "の") == {"zh": WHOLE}  # a Japanese name in a Chinese text


def test_a_long_document_is_looked_at_from_its_beginning_to_its_end() -> None:
    found = languages(PROSE["en"] * 100 + PROSE["zh"] * 100)
    assert 400 < found["zh"] < 900


def test_hangul_is_not_han() -> None:
    from core.text import han_share

    assert han_share("은행은 돈을") == 0.0
    assert han_share("银行的錢") == 1.0


@given(st.text(max_size=3000))
def test_the_parts_add_up(text: str) -> None:
    found = languages(text)
    assert sum(found.values()) == (WHOLE if found else 0)
    assert all(part > 0 for part in found.values())


@given(st.lists(st.sampled_from([*PROSE.values(), *CODE, ""]), max_size=20), st.integers(0, 20))
def test_totals_can_be_added_and_taken_away_exactly(texts: list[str], cut: int) -> None:
    counted = [languages(text) for text in texts]
    whole, rest = total(counted), total(counted[cut:])
    first = {language: part - rest.get(language, 0) for language, part in whole.items()}
    assert {language: part for language, part in first.items() if part} == total(counted[:cut])


def test_shares_begin_with_the_greatest() -> None:
    assert list(shares({"zh": 1000, "en": 3000}).items()) == [("en", 0.75), ("zh", 0.25)]
    assert shares({}) == {}


def test_traces_are_not_named() -> None:
    assert names_of({"zh": 0.99, "es": 0.01}) == "Chinese"
    assert names_of({"zh": 0.3, "fr": 0.2, "und": 0.1}) == "Chinese and French and other languages"
    assert names_of({}) == ""


def test_the_sample_is_spread() -> None:
    documents = [Document(f"{n:05d}", "", "", "s", "") for n in range(1000)]
    chosen = sample(documents)
    assert len(chosen) == 400
    assert (chosen[0].id, chosen[-1].id) == ("00000", "00997")
    assert sample(documents[:3]) == documents[:3]


@pytest.mark.parametrize(
    ("known", "share"), [(["en"], 0.25), (["zh"], 0.75), (["zh", "en"], 0), (["multilingual"], 0), ([], 0)]
)
def test_what_a_model_does_not_know(known: list[str], share: float) -> None:
    found = shares({"zh": 1000, "en": 3000})
    assert sum(unknown(found, known).values()) == share
    assert bool(not_known(found, "m", known)) == bool(share)


class TestHowMuchMatters:
    """A few Chinese words in an English corpus are not enough, a tenth of Chinese documents is."""

    def chinese(self, texts: list[str]) -> bool:
        return sum(unknown(language_shares(texts), ["en"]).values()) >= MUCH

    def test_words(self) -> None:
        assert not self.chinese([PROSE["en"] + " (银行)"] * 100)

    def test_one_document_of_fifty(self) -> None:
        assert not self.chinese([PROSE["zh"]] * 2 + [PROSE["en"]] * 98)

    def test_a_tenth_of_the_documents(self) -> None:
        assert self.chinese([PROSE["zh"]] * 10 + [PROSE["en"]] * 90)

    def test_a_third_of_every_document(self) -> None:
        assert self.chinese([PROSE["en"] + PROSE["zh"]] * 10)


@pytest.mark.slow
@pytest.mark.skipif("SAMESPACE_DATA" not in os.environ, reason="SAMESPACE_DATA names no folder of collections")
@pytest.mark.parametrize(
    ("collection", "language", "least"),
    [
        ("retrieval/scifact", "en", 0.99),
        ("retrieval/cranfield", "en", 0.99),
        ("retrieval/med", "en", 0.99),
        ("retrieval/cosqa", "en", 0.99),
        ("retrieval/xquad-en", "en", 0.99),
        ("scale/rfc-passages", "en", 0.99),
        ("retrieval/xquad-zh", "zh", 0.99),
        ("scale/zh-law-articles", "zh", 0.99),
        ("retrieval/parallel-tldr-en-to-zh", "zh", 0.6),  # Chinese explanations of commands
    ],
)
def test_real_collections(collection: str, language: str, least: float) -> None:
    assert language_shares(islice(texts(Path(os.environ["SAMESPACE_DATA"]) / collection), 5000))[language] >= least


def texts(path: Path) -> Iterator[str]:
    file = path / "corpus.jsonl"
    with (
        file.open(encoding="utf-8", newline="\n")
        if path.is_dir()
        else gzip.open(f"{path}.jsonl.gz", "rt", encoding="utf-8", newline="\n") as lines
    ):
        for line in lines:
            yield json.loads(line)["text"]
