"""The pages about the graph say what happens: every line of them is run, and their lists are complete."""

from __future__ import annotations

import asyncio
import doctest
import re
from pathlib import Path

import pytest

import feature_graph
from feature_graph import Status, guards

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "feature_graph.md"
README = ROOT / "feature_graph" / "README.md"


def run_page(page, monkeypatch):
    """Run a page as ``python -m doctest`` does; what its last line left behind."""
    monkeypatch.setattr(asyncio, "run", asyncio.run)  # a page may put a clock that jumps in its place
    told: list[str] = []
    test = doctest.DocTestParser().get_doctest(
        page.read_text(), {"__name__": "__main__"}, page.name, str(page), 0
    )
    runner = doctest.DocTestRunner()
    runner.run(test, out=told.append, clear_globs=False)
    assert runner.failures == 0, "".join(told)
    assert runner.tries > 0
    return test.globs


@pytest.mark.parametrize("page", [PAGE, README], ids=["docs", "readme"])
def test_a_page_does_what_it_says(page, monkeypatch):
    """Values, messages, waterfalls; the waits of the tutorial take no time."""
    run_page(page, monkeypatch)


def test_the_picture_on_the_page_is_the_graphs_own(monkeypatch):
    """What a reader sees drawn is what ``mermaid()`` gives today."""
    drawn = re.findall(r"^```mermaid\n(.*?)\n```$", PAGE.read_text(), re.M | re.S)

    assert drawn == [run_page(PAGE, monkeypatch)["picture"]]


def test_every_status_has_its_row():
    """In the table of words, each once and in the order of the code."""
    table = PAGE.read_text().split("## What happens when")[1].split("\n\n")[2]

    assert re.findall(r"^\| `(\w+)`", table, re.M) == [status.value for status in Status]


@pytest.mark.parametrize("module", [feature_graph, guards], ids=["feature_graph", "guards"])
def test_no_public_name_is_missing(module):
    """Errors aside, which the table of situations names where somebody meets them, and inner functions."""
    text = PAGE.read_text()
    missing = [name for name in _told_to_users(module) if not re.search(rf"\b{name}\b", text)]

    assert missing == []


def _told_to_users(module):
    for name in module.__all__:
        thing = getattr(module, name)
        if not (isinstance(thing, type) and issubclass(thing, Exception)) and name not in (
            "check",
            "guarded",
        ):
            yield name


def test_every_module_is_in_the_table_of_modules():
    """docs/architecture.md says what each knows; one that is gone stands there no more."""
    section = (
        (ROOT / "docs" / "architecture.md").read_text().split("## The feature graph")[1].split("\n## ")[0]
    )
    rows = re.findall(r"^\| (`.*?) \|", section, re.M)
    told = {name.rstrip("/") for row in rows for name in re.findall(r"`(\w+/?)`", row)}
    folder = Path(feature_graph.__file__).parent
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.name == "guards"}

    assert told == modules - {"__init__"}
