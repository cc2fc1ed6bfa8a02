"""The package's build hook: wheels, sdists and editable installs hold the web app.

It never fails an install: where the pages cannot be built, one warning says why, and the server says so on its first page.
"""

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebPages(BuildHookInterface[Any]):
    """Puts the web app's pages into the package before its files are collected."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node as a Python package, where pages have to be built and the system's Node does not suit."""
        build = self.load_build()
        if build is None or read_prebuilt() is not None or build.are_built(build.hash_sources()):
            return []
        try:
            build.find_node()
        except (build.WebBuildError, OSError):
            # It has wheels for these machines alone; elsewhere the install goes on without pages.
            return [f"{build.NODE_PACKAGE}>=22.12; platform_machine in 'x86_64 aarch64 arm64 AMD64'"]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds or copies the pages, or warns."""
        build = self.load_build()
        if build is None:
            return
        try:
            build.build_pages(read_prebuilt())
        except (build.WebBuildError, OSError) as error:
            self.app.display_warning(f"Sightline is installed without its web app (`sightline up`): {error}")

    def load_build(self) -> ModuleType | None:
        """The module `web/build.py`, or None where the sources of the web app are not at hand."""
        path = Path(self.root) / "web" / "build.py"
        spec = importlib.util.spec_from_file_location("sightline_web_build", path)
        if not path.is_file() or spec is None or spec.loader is None:
            return None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def read_prebuilt() -> Path | None:
    """The folder of pages that were built elsewhere, where the environment names one."""
    named = os.environ.get("SIGHTLINE_WEB_PAGES")
    return Path(named) if named else None
