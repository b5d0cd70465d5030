"""Hooks of the site: a notebook becomes a page with its outputs, and links to notebooks lead to those pages."""

import re
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page, and its pictures, for each notebook; the notebook itself stays, to be downloaded."""
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        path = PurePosixPath(file.src_uri)
        own = {"unique_key": path.stem, "output_files_dir": f"{path.stem}-files"}
        page, resources = MarkdownExporter().from_filename(str(file.abs_src_path), resources=own)
        page += f"\n\nThe notebook itself: [{path.name}]({path.name}#download)\n"
        files.append(File.generated(config, str(path.with_suffix(".md")), content=page))
        for name, content in resources["outputs"].items():
            files.append(File.generated(config, str(path.parent / name), content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to a notebook lead to its page, except those for its file."""
    led = re.sub(r"(\]\([\w./-]+)\.ipynb(?=[)#])(?!#download)", r"\1.md", markdown)
    return led.replace(".ipynb#download", ".ipynb")
