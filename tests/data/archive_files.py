"""Archives that tests write, and how they unpack them."""

import dataclasses
import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest

from fcn_jax.data.builders.archives import Archive, unpack
from fcn_jax.data.examples import DataError

RNG = np.random.default_rng(4)
CONTENT = {
    "tree/images/b.jpg": RNG.bytes(200_001),  # more than is read at once
    "tree/images/a.jpg": RNG.bytes(1024),  # whole blocks of a tar file
    "tree/list.txt": b"a\nb\n",
    "tree/empty": b"",
}
LIMIT = 2**20
ARCHIVE = Archive(
    file="set.tgz",
    bytes=None,
    md5=None,
    sha256=None,
    url="https://example.org/set.tgz",
    licence="CC0",
    root="tree",
    limit=LIMIT,
)


def info(name, size=0, kind=tarfile.REGTYPE, **attributes):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    for key, value in attributes.items():
        setattr(member, key, value)
    return member


def tar_bytes(members, form=tarfile.GNU_FORMAT):
    """A tar file of (TarInfo, content) pairs."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def honest_tar():
    members = [
        (info("./", kind=tarfile.DIRTYPE), b""),
        (info("tree", kind=tarfile.DIRTYPE, mode=0), b""),
        (info("tree/hollow", kind=tarfile.DIRTYPE), b""),
    ]
    for name, content in CONTENT.items():
        own = info(name, len(content), mode=0o6777, uid=12345, mtime=5)
        members.append((own, content))
    return tar_bytes(members)


def honest_zip():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("tree/hollow")
        for name, content in CONTENT.items():
            archive.writestr(name, content)
    return buffer.getvalue()


HONEST = {
    "set.tar": honest_tar,
    "set.tgz": lambda: gzip.compress(honest_tar()),
    "set.tar.gz": lambda: gzip.compress(honest_tar()),
    "set.zip": honest_zip,
}


def place(home, data, file="set.tgz", **published):
    """A source with one archive, and the record of it."""
    (home / "source").mkdir(exist_ok=True)
    (home / "source" / file).write_bytes(data)
    return dataclasses.replace(ARCHIVE, file=file, **published)


def run(home, *published, report=None):
    return unpack(home / "source", home / "out" / "tree", published, report)


def everything(home):
    return sorted(str(p.relative_to(home)) for p in home.rglob("*"))


def assert_refused(home, data, message, file="set.tgz", **published):
    """Nothing but the directory above the target is written."""
    archive = place(home, data, file, **published)
    with pytest.raises(DataError, match=message) as refusal:
        run(home, archive)
    assert str(home / "source" / file) in str(refusal.value)
    assert "get it again from https://example.org/set.tgz (CC0)" in str(refusal.value)
    left = [name for name in everything(home) if name != "out"]
    assert left == ["source", f"source/{file}"]


GOOD = (info("tree/good.txt", 4), b"good")
