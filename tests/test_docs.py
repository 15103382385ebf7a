"""Documentation that cannot rot: links resolve, settings and decisions are listed, commands exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs import settings_page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\bmake ([a-z][a-z-]*)\b(?! sure)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def pages() -> list[Path]:
    """Every Markdown page that git knows, or will."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).exists())


def anchors(page: Path) -> set[str]:
    """The headings of a page as the usual renderers name them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_resolves(page):
    """To a file that exists and, where one is named, a heading in it."""
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{target} does not exist"
        assert ROOT in [linked, *linked.parents], f"{target} leaves the repository"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{target}: no such heading"


def test_the_page_of_settings_is_what_the_code_says():
    """`make fmt` writes it anew."""
    assert settings_page.PAGE.read_text() == settings_page.page()


@pytest.mark.parametrize("section", settings_page.SECTIONS, ids=lambda s: s.name or "app.toml")
def test_every_setting_is_documented(section):
    """Unit, meaning, consequence: below the field, in the code."""
    documented = settings_page.documentation(section.settings)
    names = {field.name for field in settings_page.fields(section)}
    assert names - set(documented) == set()


def test_every_decision_is_listed():
    """The index names each record under its own title, and no other."""
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    listed = {file: title for title, file in re.findall(r"^- \[(.+?)\]\((.+?)\)", index, re.M)}
    titles = {p.name: p.read_text().splitlines()[0].removeprefix("# ") for p in folder.glob("[0-9]*.md")}
    assert listed == titles


def test_every_decision_has_its_parts():
    """Status, context, options, outcome, consequences; rejected options stay."""
    for record in (ROOT / "docs" / "adr").glob("[0-9]*.md"):
        text = record.read_text()
        assert re.search(r"^Status: \w+, \d{4}-\d\d-\d\d$", text, re.M), record.name
        for part in ("Context", "Options", "Outcome", "Consequences"):
            assert f"## {part}" in text, f"{record.name}: no {part}"


def test_every_make_command_that_a_page_names_exists():
    """A reader types what is written."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    for page in pages():
        named = set(
            COMMAND.findall("\n".join(re.findall(r"`[^`]+`|^```.*?^```", page.read_text(), re.M | re.S)))
        )
        assert named - targets == set(), page.name


def test_every_target_says_what_it_does():
    """`make help` lists each command that is meant to be typed."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M)
    assert phony
    documented = set(re.findall(r"^([a-z][a-z-]*):.*## ", makefile, re.M))
    assert set(phony[1].split()) == documented
