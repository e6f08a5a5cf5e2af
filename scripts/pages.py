#!/usr/bin/env python3
"""Copies the pages for users into a folder. A link to a file that is only in the repository becomes plain text.

    scripts/pages.py FOLDER

FOLDER holds `deploy` already, to which pages link.
"""

import pathlib
import re
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ["README.md", "CHANGELOG.md", "SECURITY.md", "docs"]
LINK = re.compile(r"(?<!!)\[([^][]*)\]\(([^()#\s]*)(#[^()\s]*)?\)")


def main(folder):
    folder = pathlib.Path(folder).resolve()
    for page in PAGES:
        copy = shutil.copytree if (ROOT / page).is_dir() else shutil.copyfile
        copy(ROOT / page, folder / page)
    for page in [*folder.glob("*.md"), *folder.glob("docs/**/*.md")]:
        text = page.read_text(encoding="utf-8")
        page.write_text(LINK.sub(lambda link: link[0] if leads_somewhere(page, link[2]) else link[1], text), encoding="utf-8")


def leads_somewhere(page, target):
    return not target or "://" in target or (page.parent / target).exists()


if __name__ == "__main__":
    main(*sys.argv[1:])
