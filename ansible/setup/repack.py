"""Packs a collection's tarball again so that equal contents give equal bytes.

ansible-galaxy takes the order of the files from the directory and stamps the
manifest and the gzip header with the time. Usage: repack.py FROM TO
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile


def text(value):
    return json.dumps(value, indent=1, sort_keys=True).encode()


def main(source, target):
    with tarfile.open(source) as tar:
        members = {m.name: (m, tar.extractfile(m).read() if m.isfile() else None) for m in tar.getmembers()}

    def content(name):
        return json.loads(members[name][1])

    files = content("FILES.json")
    files["files"].sort(key=lambda entry: entry["name"])
    manifest = content("MANIFEST.json")
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(text(files)).hexdigest()
    for name, value in (("FILES.json", files), ("MANIFEST.json", manifest)):
        members[name] = (members[name][0], text(value))

    # The manifest comes first: installers look for it, and need not read on.
    order = sorted(members, key=lambda name: (name != "MANIFEST.json", name != "FILES.json", name))
    partial = target + ".partial"
    with open(partial, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in order:
                member, data = members[name]
                member.mtime = 0
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.pax_headers = {}
                if data is None:
                    tar.addfile(member)
                else:
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    os.replace(partial, target)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
