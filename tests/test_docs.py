"""Documentation that cannot rot: links resolve, settings and decisions are listed, commands exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs import capacity_page, commands_page, metrics_page, settings_page

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\bmake ([a-z][a-z-]*)\b(?! sure)")
FILE = re.compile(r"(?<![\w./:-])((?!build/)(?:[\w-]+/)+[\w-]+\.(?:py|lua|toml|json|md))\b")
SIDEARM = re.compile(r"(?<!-n )(?<![\w./-])sidearm ([a-z]+)\b(?!\.)(?: ([a-z]+)\b(?![./:-]))?")
TEST = re.compile(r"((?:[\w-]+/)+[\w-]+\.py)::(\w+)")
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


def test_the_page_of_metrics_is_what_the_code_says():
    """`make fmt` writes it; whoever adds a figure or an alarm sees it there."""
    assert metrics_page.PAGE.read_text() == metrics_page.page()


def test_the_page_of_commands_is_what_the_code_says():
    """`make fmt` writes it; whatever is registered is there."""
    assert commands_page.PAGE.read_text() == commands_page.page()
    assert {name.split()[0] for name in commands_page.named()} == commands_page.registered()


def test_the_tables_of_capacity_are_what_the_command_says():
    """`make fmt` writes them anew."""
    assert capacity_page.PAGE.read_text() == capacity_page.page()


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


def code_of(page: Path) -> list[str]:
    """What a page sets in code, blocks and words."""
    return re.findall(r"^```.*?^```|`[^`\n]+`", page.read_text(), re.M | re.S)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_every_file_that_a_page_names_exists(page):
    """A path in code, with a folder before it, lies below the root."""
    named = {path for code in code_of(page) for path in FILE.findall(code)}
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_every_test_that_a_page_names_exists(page):
    """`tests/some/test_file.py::test_name`: a promise is not left without what holds it."""
    named = {found for code in code_of(page) for found in TEST.findall(code)}
    gone = [
        f"{file}::{name}" for file, name in sorted(named) if f"def {name}(" not in (ROOT / file).read_text()
    ]
    assert gone == []


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page):
    """`sidearm something`, and `sidearm group something`, is one that the root finds."""
    known = commands_page.named()
    groups = {name.split()[0] for name in known if " " in name}
    found = {pair for code in code_of(page) for pair in SIDEARM.findall(code)}
    named = {f"{first} {second}".strip() if first in groups else first for first, second in found}
    assert named - known == set()


def test_every_setting_that_the_page_of_the_learner_names_exists():
    """Of the learner or of the model, under the name that it has now."""
    section = {section.name: section for section in settings_page.SECTIONS}
    known = {f.name for name in ("learner", "model") for f in settings_page.fields(section[name])}
    text = "\n".join(code_of(ROOT / "docs" / "learner.md"))
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", text)) - metrics()
    assert named - known == set()


def metrics() -> set[str]:
    """The names under which the learner's figures can be had."""
    source = (ROOT / "policy_learner" / "metrics.py").read_text()
    gauges = re.findall(r'^ +"([a-z_]+)": "', source, re.M)
    named = re.findall(r'"(sidearm_learner_[a-z_]+)"', source)
    return {*named, *(f"sidearm_learner_{name}" for name in gauges)}


def test_the_page_of_the_faults_tells_of_every_invariant_and_file():
    """The invariants as the harness numbers them, and every way to break them."""
    page = (ROOT / "docs" / "faults.md").read_text()
    harness = (ROOT / "tests" / "faults" / "__init__.py").read_text()
    told = re.findall(r"^(I\d)  ", harness, re.M)
    assert [number for number in told if f"| {number} | " not in page] == []
    assert len(told) == 9
    listed = re.findall(r"^``(\w+\.py)``", harness, re.M)
    assert [name for name in listed if f"tests/faults/{name}" not in page] == []


def test_every_target_says_what_it_does():
    """`make help` lists each command that is meant to be typed."""
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.M)
    assert phony
    documented = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.M))
    assert set(phony[1].split()) == documented
