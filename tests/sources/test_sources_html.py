from __future__ import annotations

import pytest
from samples import CHINESE, read

from core.sources import Unreadable


def text(page: str) -> str:
    return read("html", page.encode()).text


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("<p>这是<b>中文</b>，<i>没有</i>空格</p>", "这是中文，没有空格"),
        ("<p>一行中文\n   接着写</p>", "一行中文接着写"),
        ("<p>one\n line <b> bold</b> word</p>", "one line bold word"),
        ("<p>in<b>line</b>d", "inlined"),
        ("<h1>A</h1><p>b</p>c", "A\n\nb\n\nc"),
        ("<div>a</div><div>b<br>c</div>", "a\nb\nc"),
        ("<ul><li>a</li><li><b>b</b> c</li></ul>", "- a\n- b c"),
        ("<table><tr><th>x<th>y</tr><tr><td>1</td><td>2</td></tr></table>", "x | y\n1 | 2"),
        ("<table><tr><td><p>1</p></td><td><p></p></td><td><p>3</p></td></tr></table>", "1 | 3"),
        ("<table><tr><td></td><td>2</td></tr><tr><td>3</td><td></td></tr><tr><td>5</table>", "2\n3\n5"),
        ("<table><tr><td><p>a</p><p>b</p></td><td>c</td></tr></table>", "a\n\nb\n\nc"),
        ("a<pre>  x\n    y</pre>b", "a\n\n  x\n    y\n\nb"),
        ("a &lt;b&gt;&nbsp;c<!-- no -->", "a <b>\xa0c"),
    ],
)
def test_text_is_set_as_a_browser_shows_it(page: str, shown: str) -> None:
    assert text(page) == shown


@pytest.mark.parametrize(
    "hidden",
    [
        *(
            f"<{tag}>no</{tag}>"
            for tag in ("script", "style", "noscript", "template", "nav", "footer", "aside", "form")
        ),
        "<header>no</header>",
        "<svg><title>no</title></svg>",
        "<p hidden>no</p>",
        "<p aria-hidden=true>no</p>",
        "<p style='color:red; display : none'>no</p>",
    ],
)
def test_what_is_no_content_is_left_out(hidden: str) -> None:
    assert text(f"<p>a</p>{hidden}<p>b</p>") == "a\n\nb"


def test_the_header_of_an_article_is_content() -> None:
    assert text("<header>no</header><article><header>yes</header><p>b</p></article><header>no</header>") == "yes\n\nb"


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<h1>H</h1><title> The\n title </title>", "H"),
        ("<title> The\n title </title><h1>H</h1>", "The title"),
        ("<svg><title>no</title></svg><h1>H <b>1</b></h1>", "H 1"),
        ("<title></title><p>x", "page"),
    ],
)
def test_title(page: str, title: str) -> None:
    assert read("html", f"{page}<p>x".encode(), "page.html").title == title


@pytest.mark.parametrize(
    "declaration", ['<meta charset="gb2312">', "<meta http-equiv=x content='text/html; charset=GBK'>"]
)
def test_the_declared_encoding_is_taken_as_browsers_take_it(declaration: str) -> None:
    page = read("html", declaration.encode() + "镕".encode("gb18030"))  # not in GB2312
    assert (page.text, page.meta["encoding"]) == ("镕", "gb18030")


@pytest.mark.parametrize("charset", ["utf-8", "no-such", "utf-7", "idna", "utf-16", "hex"])
def test_a_wrong_declaration_does_no_harm(charset: str) -> None:
    assert read("html", f"<meta charset={charset}>".encode() + CHINESE.encode("gb18030")).meta["encoding"] == "gb18030"


def test_an_xml_declaration_is_one() -> None:
    page = '<?xml version="1.0" encoding="iso-8859-1"?><p>déjà'.encode("cp1252")
    assert read("html", page).text == "déjà"


def test_a_page_with_nothing_to_show_is_empty() -> None:
    with pytest.raises(Unreadable, match="empty"):
        text("<title>t</title><nav>menu</nav><script>x</script>")


@pytest.mark.parametrize("tag", ["div", "b", "ul><li", "table><tr><td"])
def test_deep_nesting_is_read(tag: str) -> None:
    assert "deep" in text(f"<{tag}>" * 5000 + "deep")
