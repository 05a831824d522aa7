import re

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from utils import tables


@pytest.fixture
def aligned():
    """The texts of a table's cells that are aligned to the left."""
    return lambda page: re.findall(r'style="text-align: left">(.*?)<', page)


def test_words_and_their_headings_are_at_the_left_and_numbers_are_not(aligned):
    table = pd.DataFrame({"what": ["vCPU", "< SQS"], "amount": ["4,440", "0.0002"], "usd": ["< 0.0001", "$0.26"]})
    assert aligned(tables.as_html(table)) == ["what", "vCPU", "&lt; SQS"]


def test_a_missing_number_makes_no_words(aligned):
    table = pd.DataFrame({"lag": [0.4, None], "ok": [True, None], "then": ["", "ask"]})
    assert aligned(tables.as_html(table)) == ["ok", "then", "True", "", "None", "ask"]


def test_an_empty_table_is_shown(aligned):
    assert "<th>step</th>" in tables.as_html(pd.DataFrame(columns=["step"]))


def test_the_kernel_shows_tables_so_from_then_on(aligned):
    shell = InteractiveShell.instance()
    formatter = shell.display_formatter.formatters["text/html"]
    with pd.option_context("display.max_rows", 60, "display.max_colwidth", 50):
        tables.readable()
        try:
            data, _ = shell.display_formatter.format(pd.DataFrame({"what": ["x"]}))
        finally:
            formatter.pop(pd.DataFrame)
    assert aligned(data["text/html"]) == ["what", "x"]


def test_long_texts_are_folded_under_their_titles_unless_they_are_opened():
    page = tables.folded({"a <b>": "1 < 2"})._repr_html_()
    assert page == "<details><summary>a &lt;b&gt;</summary><pre>1 &lt; 2</pre></details>"
    assert tables.folded({"a": "1"}, opened=True)._repr_html_().startswith("<details open>")
    assert repr(tables.folded({"a": "1", "b": "2"})) == "a\nb"
