"""Web pages: their text as a reader sees it, without scripts, navigation and what is hidden."""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import CData, NavigableString, PageElement, PreformattedString, Tag

from core.sources import Text, Unreadable
from core.sources.decode import decode
from core.sources.flow import Flow
from core.sources.text import clean, finish


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_DROPPED = _names(
    "script style noscript template title nav footer aside form svg iframe object audio video canvas select button "
    "textarea"
)
_PARAGRAPHS = _names("p h1 h2 h3 h4 h5 h6 ul ol dl table pre blockquote figure hr main article section")
_LINES = _names(
    "address body caption center dd details div dt fieldset figcaption head header hgroup html li option summary tbody "
    "tfoot thead tr"
)
_ENDS = dict.fromkeys(_LINES, 1) | dict.fromkeys(_PARAGRAPHS, 2)  # line ends around a block
_DECLARED = re.compile(rb"<meta[^>]+?charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+?encoding=[\"']([\w.:-]+)", re.I)
_DECLARED_WITHIN = 4096
_BROWSERS_READ = {"gb2312": "gb18030", "gbk": "gb18030", "ascii": "cp1252", "iso8859-1": "cp1252"} | {
    "shift_jis": "cp932",
    "euc_kr": "cp949",
}
_CHARSETS = re.compile(r"utf-8|gb|big5|cp|euc|shift|iso|koi8|mac|ascii|tis|johab|hz")  # no "utf-7", no "idna"


class HtmlReader:
    version = "1"

    def read(self, data: bytes, name: str) -> Text:
        """What a page shows. Raises Unreadable: empty, binary, of unknown encoding, or nothing a parser takes."""
        source, encoding = decode(data, _declared(data))
        try:
            with warnings.catch_warnings():  # remarks for programmers, on pages that look like XML or like a path
                warnings.simplefilter("ignore")
                page = BeautifulSoup(source, "html.parser")
        except Exception as error:  # html.parser asserts, and what it asserts differs between Python's versions
            raise Unreadable(f"damaged HTML: {error}") from error
        return finish(_title(page), clean(_text(page)), name, encoding=encoding)


def _declared(data: bytes) -> str:
    """The encoding that the page says it has, as browsers take it; "" when it says none that can be meant."""
    match = _DECLARED.search(data, 0, _DECLARED_WITHIN)
    if match is None:
        return ""
    try:
        encoding = codecs.lookup((match[1] or match[2]).decode("ascii", "ignore")).name
    except LookupError:
        return ""
    return _BROWSERS_READ.get(encoding, encoding) if _CHARSETS.match(encoding) else ""


def _title(page: BeautifulSoup) -> str:
    for tag in page.find_all(["title", "h1"]):
        line = tag.get_text()
        if line.strip() and (tag.name == "h1" or tag.find_parent("svg") is None):
            return line
    return ""


def _text(page: BeautifulSoup) -> str:
    flow = Flow()
    for node, entering in _visible(page):
        if isinstance(node, Tag):
            (_open if entering else _close)(flow, node)
        else:
            flow.write(str(node))
    return flow.text()


def _open(flow: Flow, tag: Tag) -> None:
    flow.end(_ENDS.get(tag.name, 0))
    if tag.name == "li":
        flow.mark("- ")
    elif tag.name == "br":
        flow.end(1)
    elif tag.name == "pre":
        flow.verbatim += 1
    elif tag.name in ("td", "th"):
        flow.cell()


def _close(flow: Flow, tag: Tag) -> None:
    if tag.name == "pre":
        flow.verbatim -= 1
    elif tag.name in ("td", "th"):
        flow.end_cell()
    flow.end(_ENDS.get(tag.name, 0))


def _visible(page: BeautifulSoup) -> Iterator[tuple[PageElement, bool]]:
    """Every shown tag on entering and on leaving it, and every string. A loop: pages nest deeper than Python calls."""
    within = 0  # how many <main> and <article> are open: their headers are content, the page's is not
    pending: list[tuple[PageElement, bool]] = [(page, True)]
    while pending:
        node, entering = pending.pop()
        if isinstance(node, Tag):
            if entering and _dropped(node, within > 0):
                continue
            within += (1 if entering else -1) * (node.name in ("main", "article"))
            if entering:
                pending.append((node, False))
                pending.extend((child, True) for child in reversed(node.contents))
            yield node, entering
        elif isinstance(node, CData) or (
            isinstance(node, NavigableString) and not isinstance(node, PreformattedString)
        ):
            yield node, True


def _dropped(tag: Tag, in_article: bool) -> bool:
    if tag.name in _DROPPED or (tag.name == "header" and not in_article):
        return True
    style = str(tag.get("style", "")).replace(" ", "").lower()
    return tag.has_attr("hidden") or tag.get("aria-hidden") == "true" or "display:none" in style
