"""What mypy and pyright say, both strict, to people who use this library."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feature_graph.annotations import Annotations
from feature_graph.type_fit import Fit
from tests.feature_graph.typed import right, vocabulary

ROOT = Path(__file__).parents[2]
TYPED = Path(__file__).with_name("typed")
TYPES = {text: eval(text, vars(vocabulary)) for text in vocabulary.TYPES}
PAIRS = [(gives, wants) for gives in TYPES for wants in TYPES]


def marked(path: Path) -> set[int]:
    """Numbers of the lines that are said to be wrong."""
    lines = path.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if "  # wrong: " in line}


@pytest.fixture(scope="module")
def mypy_says(tmp_path_factory) -> dict[str, set[int]]:
    """Lines of each file in which mypy sees an error, from one run over all."""
    folder = tmp_path_factory.mktemp("mypy")
    pairs = folder / "pairs.py"
    pairs.write_text("\n".join(_returning_each_as_each()))
    options = [
        "--strict",
        "--no-strict-bytes",
        "--config-file=",
        "--follow-imports=silent",
        "--no-error-summary",
    ]
    command = [sys.executable, "-m", "mypy", *options, f"--cache-dir={folder / 'cache'}"]
    files = [TYPED / "right.py", TYPED / "wrong.py", pairs]
    ran = subprocess.run([*command, *map(str, files)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert not ran.stderr, ran.stderr
    errors = re.findall(r"^(.*?\.py):(\d+): error: ", ran.stdout, re.MULTILINE)
    return {each.name: {int(line) for name, line in errors if Path(name).name == each.name} for each in files}


def _returning_each_as_each() -> Iterator[str]:
    """``def f7(x: int) -> float: return x`` for all pairs, on line 9."""
    names = sorted(each for each in vars(vocabulary) if not each.startswith("_") and each != "annotations")
    yield '# mypy: disable-error-code="type-arg, no-any-return, attr-defined"'
    yield f"from tests.feature_graph.typed.vocabulary import ({', '.join(names)})"
    for number, (gives, wants) in enumerate(PAIRS):
        yield f"def f{number}(x: {gives}) -> {wants}: return x"


def test_mypy_is_content_with_right_code(mypy_says):
    """Every word of the library, decorated functions called as they were written, values with their types."""
    assert mypy_says["right.py"] == set()


def test_mypy_sees_every_mistake_and_no_other(mypy_says):
    """Exactly the marked lines."""
    assert mypy_says["wrong.py"] == marked(TYPED / "wrong.py")


def test_what_a_graph_refuses_mypy_refuses_too(mypy_says):
    """Refused is only what is certainly wrong: of all pairs of types, none that mypy lets through."""
    fit = Fit(Annotations())
    refused = {pair for pair in PAIRS if not fit.fits(TYPES[pair[0]], TYPES[pair[1]])}
    mypy_refuses = {PAIRS[line - 3] for line in mypy_says["pairs.py"]}
    assert sorted(refused - mypy_refuses) == []
    assert len(refused) > 0.95 * len(mypy_refuses)  # and it does not get there by letting all through


def test_pyright_agrees():
    """The same files, the same lines; pyright is asked where it is installed."""
    beside = str(Path(sys.executable).parent)
    names = ("pyright", "basedpyright")
    pyright = next(
        (found for name in names if (found := shutil.which(name) or shutil.which(name, path=beside))), None
    )
    if pyright is None:
        pytest.skip("pyright is not installed: pip install basedpyright (280 MB, it brings its own Node.js)")
    assert _pyright_says(pyright) == {"right.py": set(), "wrong.py": marked(TYPED / "wrong.py")}


def _pyright_says(pyright: str) -> dict[str, set[int]]:
    files = ["right.py", "wrong.py"]
    settings = {
        "include": [f"../tests/feature_graph/typed/{name}" for name in files],
        "typeCheckingMode": "strict",
    }
    settings |= {"extraPaths": [str(ROOT)], "pythonVersion": "3.11"}
    project = ROOT / "build" / "pyright.json"
    project.parent.mkdir(exist_ok=True)
    project.write_text(json.dumps(settings))
    command = [pyright, "--outputjson", "--project", str(project), "--pythonpath", sys.executable]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    answer = json.loads(ran.stdout)
    assert answer["summary"]["filesAnalyzed"] >= len(files)
    told = answer["generalDiagnostics"]
    errors = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in told
        if each["severity"] == "error"
    ]
    return {name: {line for file, line in errors if file == name} for name in files}


def test_the_right_code_runs():
    """What the checkers are content with does what it says."""
    assert asyncio.run(right.decide()) == 0.5 + 2.0
    asyncio.run(right.as_ordinary_functions())
