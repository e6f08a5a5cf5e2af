#!/usr/bin/env python3
"""Writes the licences of everything that is part of the static binary: crates, the C libraries in them, musl, libunwind.

    scripts/licences.py TARGET ZIG_LIBRARY > THIRD-PARTY-LICENCES.txt

Equal texts are written once, with the names of all that have them.
"""

import json
import pathlib
import re
import subprocess
import sys

NAMES = re.compile(r"(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
# Where the crates keep the C libraries that they build.
DEPTH_MAX = 4


def main(target, zig_library):
    texts = {}
    for name, folder, licence in crates(target):
        files = sorted(licences_below(folder))
        if not files:
            texts.setdefault(f"Licence: {licence}, without a text of its own.\n", []).append(name)
        for file in files:
            texts.setdefault(text_of(file), []).append(f"{name} ({file.relative_to(folder)})")
    zig = pathlib.Path(zig_library)
    for name, file in [("musl", "libc/musl/COPYRIGHT"), ("libunwind", "libunwind/LICENSE.TXT")]:
        texts.setdefault(text_of(zig / file), []).append(name)
    rule = "=" * 100
    print("The program's own licence is in LICENSE. These are those of the libraries in it; the Rust standard library is")
    print("licensed like most of them, under Apache-2.0 or MIT. SQLite is in the public domain.")
    for text, names in texts.items():
        print(f"\n{rule}\n" + "\n".join(sorted(set(names))) + f"\n{rule}\n\n{text.strip()}")


def crates(target):
    """Name and version, folder, and licence expression of each crate that is linked for this target."""
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    waiting, linked = [root], set()
    while waiting:
        package = waiting.pop()
        if package in linked:
            continue
        linked.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                waiting.append(dependency["pkg"])
    # Several versions of one crate, too, come in the same order each time.
    for package in sorted(linked - {root}, key=lambda package: (packages[package]["name"], packages[package]["version"])):
        package = packages[package]
        folder = pathlib.Path(package["manifest_path"]).parent
        yield f"{package['name']} {package['version']}", folder, package["license"] or package["license_file"]


def licences_below(folder):
    for depth in range(1, DEPTH_MAX + 1):
        for file in folder.glob("/".join("*" * depth)):
            is_source = file.suffix in (".rs", ".c", ".h", ".py", ".sh")
            if file.is_file() and NAMES.match(file.name) and not is_source and "test" not in str(file.parent):
                yield file


def text_of(file):
    return file.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
