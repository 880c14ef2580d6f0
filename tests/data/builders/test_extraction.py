"""Archives written by the tests: honest ones come out whole, hostile ones not at all."""

import gzip
import io
import struct
import tarfile
import time
import zipfile

import numpy as np
import pytest

from fcn_jax.data.builders import archives, extraction
from fcn_jax.data.examples import DataError
from tests.data.archive_files import (
    CONTENT,
    GOOD,
    HONEST,
    assert_refused,
    everything,
    honest_tar,
    info,
    place,
    run,
    tar_bytes,
)


@pytest.mark.parametrize("file", HONEST)
def test_archives_come_out_as_they_went_in(tmp_path, file):
    """Oracle: the bytes put in; permissions and owner are the caller's own."""
    target = run(tmp_path, place(tmp_path, HONEST[file](), file))
    assert target == tmp_path / "out" / "tree"
    files = {
        str(path.relative_to(target)): path.read_bytes()
        for path in (target / "tree").rglob("*")
        if path.is_file()
    }
    assert files == CONTENT
    assert (target / "tree" / "hollow").is_dir()
    mine = tmp_path / "mine"
    mine.touch()
    for name in CONTENT:
        state = (target / name).stat()
        assert (state.st_mode, state.st_uid) == (
            mine.stat().st_mode,
            mine.stat().st_uid,
        )
    assert everything(tmp_path / "out")[0] == "tree"
    assert not (tmp_path / "out" / "tree.partial").exists()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_kept(tmp_path, form):
    """Oracle: a name of 230 characters, which takes a header of its own."""
    name = f"tree/{'d' * 110}/{'e' * 110}.txt"
    archive = place(tmp_path, gzip.compress(tar_bytes([(info(name, 3), b"abc")], form)))
    assert (run(tmp_path, archive) / name).read_bytes() == b"abc"


HOSTILE = {
    "parent": ([(info("../evil", 4), b"evil")], r"'\.\./evil' leaves the directory"),
    "inner": ([(info("a/../../evil", 4), b"evil")], r"leaves the directory"),
    "absolute": ([(info("/tmp/evil", 4), b"evil")], "has an absolute path"),
    "drive": ([(info("C:/evil", 4), b"evil")], "has an absolute path"),
    "backslash": ([(info("..\\evil", 4), b"evil")], "has a backslash"),
    "line": ([(info("a\nb", 4), b"evil")], "an unprintable character"),
    "bytes": ([(info("a\udcff", 4), b"evil")], "an unprintable character"),
    "long": ([(info("a" * 300, 4), b"evil")], "a name of 300 characters"),
    "deep": ([(info("a/" * 600 + "b", 4), b"evil")], "a name of 1201 characters"),
    "symlink": ([(info("l", kind=tarfile.SYMTYPE, linkname="t"), b"")], "is a link"),
    "hard link": (
        [GOOD, (info("l", kind=tarfile.LNKTYPE, linkname="tree/good.txt"), b"")],
        "is a link",
    ),
    "through": (
        [
            (info("l", kind=tarfile.SYMTYPE, linkname="/tmp"), b""),
            (info("l/evil", 4), b"evil"),
        ],
        "'l' is a link",
    ),
    "device": ([(info("d", kind=tarfile.CHRTYPE, devmajor=1), b"")], "a device"),
    "fifo": ([(info("f", kind=tarfile.FIFOTYPE), b"")], "a device or the like"),
    "contiguous": ([(info("c", 4, kind=tarfile.CONTTYPE), b"evil")], "or the like"),
    "unknown": ([(info("u", 4, kind=b"Z"), b"evil")], "or the like"),
    "twice": ([GOOD, GOOD], "good.txt more than once"),
    "alias": ([GOOD, (info("tree/./good.txt", 4), b"evil")], "more than once"),
    "file, folder": ([GOOD, (info("tree/good.txt/x", 1), b"x")], "more than once"),
    "folder, file": ([GOOD, (info("tree", 1), b"x")], "more than once"),
    "nameless": ([(info(".", 4), b"evil")], "more than once"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tar_files_are_refused_and_leave_nothing(tmp_path, case):
    """Oracle: the list of every file below the test's directory."""
    members, message = HOSTILE[case]
    data = gzip.compress(tar_bytes([(info("first", 1), b"1"), *members]))
    assert_refused(tmp_path, data, message)


def test_sparse_members_are_refused(tmp_path):
    """Oracle: a GNU sparse header, built by hand: 4 bytes that claim to be 2**30."""
    header = bytearray(info("s", 4).tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:410] = b"%011o\0%011o\0" % (0, 4)  # offset and length of the one piece
    header[483:495] = b"%011o\0" % 2**30
    data = sealed(header) + b"evil".ljust(512, b"\0") + bytes(1024)
    assert_refused(tmp_path, gzip.compress(data), "a device or the like")


def test_sparse_members_of_pax_files_are_refused(tmp_path):
    """Oracle: the records of GNU tar's sparse format 0.1, 4 bytes that claim 2**30."""
    member = info("s", 4)
    member.pax_headers = {"GNU.sparse.map": "0,4", "GNU.sparse.size": str(2**30)}
    data = tar_bytes([(member, b"evil")], tarfile.PAX_FORMAT)
    assert_refused(tmp_path, gzip.compress(data), "a device or the like")


def zipped(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return buffer.getvalue()


def entry(name, mode=0, method=zipfile.ZIP_STORED):
    record = zipfile.ZipInfo(name)
    record.external_attr, record.compress_type = mode << 16, method
    return record


HOSTILE_ZIP = {
    "parent": ("../evil", 0, zipfile.ZIP_STORED, "leaves the directory"),
    "absolute": ("/tmp/evil", 0, zipfile.ZIP_STORED, "has an absolute path"),
    "backslash": ("..\\evil", 0, zipfile.ZIP_STORED, "has a backslash"),
    "nul": ("tree/a\0b", 0, zipfile.ZIP_STORED, "unprintable character"),
    "symlink": ("l", 0o120777, zipfile.ZIP_STORED, "is a link or a device"),
    "device": ("d", 0o020777, zipfile.ZIP_STORED, "is a link or a device"),
    "method": ("m", 0o100644, zipfile.ZIP_BZIP2, "is compressed by method 12"),
    "twice": ("first", 0, zipfile.ZIP_STORED, "first more than once"),
}


@pytest.mark.parametrize("case", HOSTILE_ZIP)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_zip_files_are_refused_and_leave_nothing(tmp_path, case):
    """Oracle: the list of every file below the test's directory."""
    name, mode, method, message = HOSTILE_ZIP[case]
    own = entry("placeholder" if "\0" in name else name, mode, method)
    data = zipped([(entry("first"), b"1"), (own, b"evil")])
    if "\0" in name:  # zipfile itself would cut it
        data = data.replace(b"placeholder", name.ljust(11, "x").encode())
    assert_refused(tmp_path, data, message, "set.zip")


def test_encrypted_zip_members_are_refused(tmp_path):
    """Oracle: the first bit of the flags, at offset 8 of the central directory's entry."""
    data = bytearray(zipped([(entry("secret"), b"evil")]))
    data[data.index(b"PK\1\2") + 8] |= 1
    assert_refused(tmp_path, bytes(data), "is encrypted", "set.zip")


def sealed(header):
    """A tar header with the checksum that its bytes have."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def claiming(size, kind=tarfile.REGTYPE):
    """The header of a tar file that claims a size, of 8 bytes where it must be."""
    header = bytearray(info("claim", 0, kind).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 4 + struct.pack(">q", size)  # base 256, negative
    if size >= 0:
        header[124:136] = b"\x80\0\0\0" + struct.pack(">q", size)
    return sealed(header)


BOMBS = {
    "content": (
        lambda: tar_bytes([(info("z", 2**24), bytes(2**24))]),
        "makes it 16777216 bytes, more than 1048576",
    ),
    "sum": (
        lambda: tar_bytes([(info(f"z{i}", 2**18), bytes(2**18)) for i in range(9)]),
        r"1310720 bytes, more than 1048576|has more than 1048576 bytes",
    ),
    "claim": (lambda: claiming(2**40) + bytes(1024), "makes it 1099511627776 bytes"),
    "name": (
        lambda: claiming(2**30, tarfile.GNUTYPE_LONGNAME) + bytes(2**20),
        "a header says that it has 1073741824 bytes",
    ),
    "pax": (
        lambda: claiming(2**30, tarfile.XHDTYPE) + bytes(2**20),
        "a header says that it has 1073741824 bytes",
    ),
    "negative": (lambda: claiming(-1024) + bytes(1024), "claims -1024 bytes"),
    "negative name": (
        lambda: claiming(-1024, tarfile.GNUTYPE_LONGNAME) + bytes(1024),
        "is damaged",
    ),
    "tail": (lambda: honest_tar() + bytes(2**24), "has more than 1048576 bytes"),
    "skipped": (
        lambda: claiming(2**24, tarfile.DIRTYPE) + bytes(2**24 + 1024),
        "has more than 1048576 bytes",
    ),
}


@pytest.mark.parametrize("case", BOMBS)
def test_tar_bombs_are_refused_by_their_limit(tmp_path, case):
    """Oracle: a limit of 1 MiB, against 16 MiB of zeros or headers that claim more."""
    make, message = BOMBS[case]
    assert_refused(tmp_path, gzip.compress(make()), message)


def test_zip_bombs_are_refused_by_their_limit(tmp_path):
    """Oracle: a limit of 1 MiB against 16 MiB of zeros, deflated to 16 KiB."""
    bomb = zipped([(entry("z", method=zipfile.ZIP_DEFLATED), bytes(2**24))])
    assert len(bomb) < 2**15
    message = "makes it 16777216 bytes, more than 1048576"
    assert_refused(tmp_path, bomb, message, "set.zip")


def test_zip_bombs_that_claim_little_are_damage(tmp_path):
    """Oracle: the size at offset 24 of the directory's entry, written as 16 bytes."""
    data = bytearray(zipped([(entry("z", method=zipfile.ZIP_DEFLATED), bytes(2**24))]))
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, 16)
    assert_refused(
        tmp_path, bytes(data), "is damaged at or behind its member 1", "set.zip"
    )


def test_the_number_of_members_is_bounded(tmp_path, monkeypatch):
    """Oracle: a bound of 5 against 6 members."""
    monkeypatch.setattr(extraction, "MAX_MEMBERS", 5)
    six = tar_bytes([(info(f"f{i}"), b"") for i in range(6)])
    assert_refused(tmp_path, gzip.compress(six), "'f5' is more than 5 members")


def test_truncated_archives_are_damage_at_every_length(tmp_path):
    """Oracle: the archive as a whole is 100 %; each shorter one lacks something."""
    whole = gzip.compress(honest_tar())
    for kept in [*range(0, len(whole), len(whole) // 20), len(whole) - 1]:
        assert_refused(tmp_path, whole[:kept], "is damaged")
        (tmp_path / "source" / "set.tgz").unlink()
    plain = honest_tar()
    end = len(plain.rstrip(b"\0"))  # within the last member; the mark is behind
    lengths = [0, 1, 511, 512, 513, 1536, 1600, end // 1024 * 512, end]
    for kept in lengths:
        assert_refused(tmp_path, plain[:kept], "is damaged", "set.tar")
        (tmp_path / "source" / "set.tar").unlink()
    packed = HONEST["set.zip"]()
    for kept in range(0, len(packed), len(packed) // 15):
        assert_refused(tmp_path, packed[:kept], "is damaged", "set.zip")
        (tmp_path / "source" / "set.zip").unlink()


def test_a_damaged_header_is_not_the_end(tmp_path):
    """Oracle: the header of the third of three members, one byte of which is flipped."""
    three = bytearray(tar_bytes([(info(n, 1), b"1") for n in "abc"]))
    three[2048] ^= 1
    assert_refused(tmp_path, bytes(three), "a header is damaged", "set.tar")


def test_members_before_the_beginning_of_a_zip_file_are_damage(tmp_path):
    """Oracle: the directory's place, at offset 16 of the end record, moved ahead.

    zipfile takes the difference for bytes in front of the file and seeks below 0.
    """
    data = bytearray(zipped([(entry("a"), b"1"), (entry("b"), b"2")]))
    at = data.index(b"PK\5\6") + 16
    (start,) = struct.unpack_from("<I", data, at)
    struct.pack_into("<I", data, at, start + 50)
    assert_refused(tmp_path, bytes(data), "is damaged", "set.zip")


@pytest.mark.slow
@pytest.mark.parametrize("file", ["set.tar", "set.tgz", "set.zip"])
def test_flipped_bytes_end_in_one_sentence_or_not_at_all(tmp_path, file):
    """Oracle: a DataError that leaves nothing, or a tree within the target.

    Compressed content is never another than what was put in.
    """
    rng = np.random.default_rng(len(file))
    whole = HONEST[file]()
    structure = {"set.tar": 1536, "set.tgz": 400, "set.zip": 400}[file]
    sentences = []
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            near = int(rng.integers(structure))
            data[near if rng.random() < 0.5 else -1 - near] ^= int(rng.integers(1, 256))
        archive = place(tmp_path, bytes(data), file)
        try:
            target = run(tmp_path, archive)
        except DataError as error:
            sentences.append(str(error))
            assert everything(tmp_path / "out") == []
            continue
        outside = [n for n in everything(tmp_path) if not n.startswith("out/tree")]
        assert outside == ["out", "source", f"source/{file}"]
        if file == "set.tgz":
            for name, content in CONTENT.items():
                assert (target / name).read_bytes() == content
        (target / archives.RECORD).unlink()
        target.rename(tmp_path / "old")
        for path in sorted((tmp_path / "old").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (tmp_path / "old").rmdir()
    assert len(sentences) > 30
    assert not any("\n" in sentence for sentence in sentences)


def test_many_files_take_linear_time(tmp_path):
    """Oracle: 4,000 files of whole blocks, a clock.

    Going back in the compressed stream for each of them would take minutes.
    """
    files = [(info(f"tree/{i}", 512), b"x" * 512) for i in range(4000)]
    archive = place(tmp_path, gzip.compress(tar_bytes(files), 1), limit=2**23)
    start = time.monotonic()
    target = run(tmp_path, archive)
    assert time.monotonic() - start < 20
    assert len(list((target / "tree").iterdir())) == 4000
