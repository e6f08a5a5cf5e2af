#!/usr/bin/env python3
"""Builds the image of a Dockerfile that only copies files, for several processors, without a daemon and reproducibly.

    scripts/oci.py DOCKERFILE NAME:TAG OUT.tar ARCH=FOLDER...

The result is an OCI layout in a tar file, with an index of the processors (amd64, arm64): `skopeo copy oci-archive:FILE …` and
`podman load` read it. For one processor it is also an archive as `docker save` writes it: Docker's classic image store reads no
other, and knows one processor for each name. All times in it are SOURCE_DATE_EPOCH. Labels name VERSION and REVISION.
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import time

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
# Docker's full name of an image without a registry. Its containerd store finds an image by no shorter one.
DOCKER_NAME = "docker.io/library/"
LABELS = {
    "title": "aws-to-devo",
    "description": "Moves logs from AWS to Devo",
    "licenses": "Apache-2.0",
    "version": os.environ.get("VERSION"),
    "revision": os.environ.get("REVISION"),
}


def main(dockerfile, name, out, *folders):
    instructions = list(read(dockerfile))
    blobs = {}
    manifests = []
    for arch, folder in (text.split("=", 1) for text in folders):
        layer = layer_of(instructions, pathlib.Path(folder))
        packed = gzip.compress(layer, 9, mtime=0)
        config = {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(EPOCH)),
            "architecture": arch,
            "os": "linux",
            "config": settings_of(instructions) | {"Labels": labels()},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
            "history": [{"created_by": "aws-to-devo"}],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": add(blobs, CONFIG, dump(config)),
            "layers": [add(blobs, LAYER, packed)],
        }
        manifests.append(add(blobs, MANIFEST, dump(manifest)) | {"platform": {"architecture": arch, "os": "linux"}})
    image = add(blobs, INDEX, dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    version = name.rpartition(":")[2]
    image["annotations"] = {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": DOCKER_NAME + name}
    files = {path_of(key): blob for key, blob in blobs.items()}
    files["index.json"] = dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]})
    files["oci-layout"] = dump({"imageLayoutVersion": "1.0.0"})
    if len(manifests) == 1:
        manifest = json.loads(blobs[manifests[0]["digest"]])
        layers = [path_of(layer["digest"]) for layer in manifest["layers"]]
        files["manifest.json"] = dump([{"Config": path_of(manifest["config"]["digest"]), "RepoTags": [name], "Layers": layers}])
    pathlib.Path(out).write_bytes(tar([entry(path, blob) for path, blob in sorted(files.items())]))


def path_of(key):
    return f"blobs/{key.replace(':', '/')}"


def labels():
    return {f"org.opencontainers.image.{name}": value for name, value in LABELS.items() if value}


def read(dockerfile):
    """Instructions, with their options and arguments."""
    for line in pathlib.Path(dockerfile).read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        options = dict(word[2:].split("=", 1) for word in words[1:] if word.startswith("--"))
        if words[0] not in ("FROM", "COPY", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"):
            sys.exit(f"{dockerfile}: {words[0]} needs a builder")
        yield words[0], options, [word for word in words[1:] if not word.startswith("--")]


def settings_of(instructions):
    settings = {}
    for name, _, arguments in instructions:
        match name:
            case "USER":
                settings["User"] = arguments[0]
            case "EXPOSE":
                settings["ExposedPorts"] = {f"{port}/tcp": {} for port in arguments}
            case "VOLUME":
                settings["Volumes"] = {path: {} for path in json.loads(" ".join(arguments))}
            case "ENTRYPOINT" | "CMD":
                settings[name.capitalize()] = json.loads(" ".join(arguments))
    return settings


def layer_of(instructions, folder):
    entries = {}
    for name, options, arguments in instructions:
        if name != "COPY":
            continue
        *sources, target = arguments
        owner = tuple(int(number) for number in options.get("chown", "0:0").split(":"))
        for source in (folder / source for source in sources):
            path = (target + source.name if target.endswith("/") else target).lstrip("/")
            for parent in reversed(pathlib.PurePosixPath(path).parents[:-1]):
                entries.setdefault(str(parent), entry(f"{parent}/", None, 0o755))
            if source.is_dir():
                if any(source.iterdir()):
                    sys.exit(f"{source} is not empty: only empty folders are copied")
                entries[path] = entry(f"{path}/", None, int(options.get("chmod", "755"), 8), owner)
            else:
                mode = 0o755 if os.access(source, os.X_OK) else 0o644
                entries[path] = entry(path, source.read_bytes(), int(options.get("chmod", oct(mode)), 8), owner)
    return tar([entries[path] for path in sorted(entries)])


def entry(path, content, mode=0o644, owner=(0, 0)):
    info = tarfile.TarInfo(path)
    info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
    info.size, info.mode, info.mtime = len(content or b""), mode, EPOCH
    info.uid, info.gid = owner
    return info, content


def tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def add(blobs, kind, blob):
    blobs[digest(blob)] = blob
    return {"mediaType": kind, "digest": digest(blob), "size": len(blob)}


def digest(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def dump(value):
    return json.dumps(value, indent=1, sort_keys=True).encode()


if __name__ == "__main__":
    main(*sys.argv[1:])
