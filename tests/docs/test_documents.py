"""Links between the documents lead somewhere, code in them runs, and nothing in the tree names this machine or a registry."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from quick_timing import make_patient_environment

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"(?:\]\(|<img src=\")(?!https?:|#|mailto:)([^)#\"]+)")
PYTHON_BLOCK = re.compile(r"^```python run\n(.*?)^```", re.MULTILINE | re.DOTALL)


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    broken = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert broken == []


@pytest.mark.parametrize(
    "index", [ROOT / "docs" / "README.md", ROOT / "docs" / "decisions" / "README.md"], ids=lambda path: path.parent.name
)
def test_an_index_lists_every_page_below_it(index: Path) -> None:
    listed = {(index.parent / target).resolve() for target in LINK.findall(index.read_text())}
    pages = {page for page in index.parent.rglob("*.md") if page != index}
    if index.parent.name == "docs":
        pages = {page for page in pages if page.parent.name != "decisions" or page.name == "README.md"}
    assert pages - listed == set()


@pytest.mark.slow
@pytest.mark.parametrize("document", [d for d in DOCUMENTS if PYTHON_BLOCK.search(d.read_text())], ids=lambda path: path.name)
def test_python_in_the_documents_runs(document: Path, tmp_path: Path) -> None:
    code = "\n".join(PYTHON_BLOCK.findall(document.read_text()))
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500
    )
    assert result.returncode == 0, result.stderr


def test_no_file_is_longer_than_500_lines() -> None:
    long = {
        str(p.relative_to(ROOT)): n
        for p in tracked_files()
        if p.suffix == ".py" and (n := len(p.read_text().splitlines())) > 500
    }
    assert long == {}


def test_no_tracked_file_names_a_registry() -> None:
    address = re.compile(r"https?://[^\s\"']+(/simple/|\.whl|\.tgz)|--(extra-)?index-url")
    found = [
        str(p.relative_to(ROOT))
        for p in tracked_files()
        if p.suffix in {".py", ".txt", ".toml", ".md", ".json"} and p != Path(__file__) and address.search(p.read_text())
    ]
    assert found == []


def test_the_constraints_name_exact_versions_without_addresses() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line)] == []


BASH_BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
SMALLER = {"--count 300": "--count 40", "--budget 100cpu-s": "--budget 8it", "--point-s 1": "--point-s 0.2"}


@pytest.mark.slow
def test_the_commands_of_the_tutorial_run(tmp_path: Path) -> None:
    script = "\n".join(BASH_BLOCK.findall((ROOT / "docs/tutorials/first-detector.md").read_text()))
    for shown, smaller in SMALLER.items():  # the same commands, on less
        assert shown in script
        script = script.replace(shown, smaller)
    folder = Path(sys.executable).parent
    result = subprocess.run(
        ["bash", "-euc", f'PATH="{folder}:$PATH"\n{script}'],
        cwd=tmp_path,
        env=make_patient_environment(),  # here is timed for as long as on a user's machine
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert list(tmp_path.glob("sightline-workspace/deployments/parts/1/manifest.json"))
