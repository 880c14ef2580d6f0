"""Published archives: verified, extracted as a whole or not, and only once."""

import dataclasses
import gzip
import hashlib
import re
import resource

import pytest

from fcn_jax.data.builders import archives
from fcn_jax.data.builders.archives import Archive
from fcn_jax.data.examples import DataError
from tests.data.archive_files import (
    ARCHIVE,
    CONTENT,
    GOOD,
    RNG,
    assert_refused,
    everything,
    honest_tar,
    info,
    place,
    run,
    tar_bytes,
)

DATA = gzip.compress(honest_tar(), mtime=0)
MD5, SHA256 = hashlib.md5(DATA).hexdigest(), hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({"md5": "0" * 32}, f"has the MD5 {MD5}, and the published file {'0' * 32}"),
        ({"sha256": "a" * 64, "md5": MD5}, f"SHA256 {SHA256}, .* {'a' * 64}"),
        ({"bytes": 5}, f"has {len(DATA)} bytes, and the published file 5"),
    ],
)
def test_other_checksums_and_sizes_are_refused_before_extraction(
    tmp_path, published, message
):
    """Oracle: hashlib over the whole file."""
    assert_refused(tmp_path, DATA, message, **published)
    assert not (tmp_path / "out").exists()


def test_the_published_checksums_are_accepted_and_a_repair_is_enough(tmp_path):
    """Oracle: hashlib; one flipped byte between two calls."""
    broken = bytearray(DATA)
    broken[1000] ^= 64
    published = {"bytes": len(DATA), "md5": MD5, "sha256": SHA256}
    archive = place(tmp_path, bytes(broken), **published)
    with pytest.raises(DataError, match="has the SHA256"):
        run(tmp_path, archive)
    target = run(tmp_path, place(tmp_path, DATA, **published))
    assert (target / "tree/list.txt").read_bytes() == b"a\nb\n"


def test_the_second_archive_is_verified_before_the_first_is_extracted(tmp_path):
    """Oracle: no directory is written."""
    first = place(tmp_path, DATA)
    second = place(tmp_path, DATA, "other.tgz", md5="0" * 32, root="other")
    with pytest.raises(DataError, match=r"other\.tgz has the MD5"):
        run(tmp_path, first, second)
    assert not (tmp_path / "out").exists()


def test_a_source_without_archives_is_returned_as_it_is(tmp_path):
    """Oracle: the path; archives beside their own trees count as extracted."""
    (tmp_path / "source" / "tree").mkdir(parents=True)
    assert run(tmp_path, ARCHIVE) == tmp_path / "source"
    archive = place(tmp_path, b"never opened")
    assert run(tmp_path, archive) == tmp_path / "source"
    assert not (tmp_path / "out").exists()


def test_what_lies_beside_an_archive_is_in_the_target_too(tmp_path):
    """Oracle: files of the source, read through the target, and left where they are."""
    members = [(info("kit/tree/x", 1), b"x")]
    data = gzip.compress(tar_bytes(members))
    archive = place(tmp_path, data, root="kit/tree")
    here = dataclasses.replace(ARCHIVE, file="here.tar", root="kit/here")
    absent = dataclasses.replace(ARCHIVE, file="absent.tar", root="kit/absent")
    source = tmp_path / "source"
    for name in ("kit/here/file", "elsewhere/file", "list.txt", archives.RECORD):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    target = run(tmp_path, here, archive, absent)
    for name in ("kit/here/file", "elsewhere/file", "list.txt"):
        assert (target / name).read_text() == name
    assert (target / "kit/tree/x").read_bytes() == b"x"
    assert sorted(path.name for path in (target / "kit").iterdir()) == ["here", "tree"]
    (source / "new.txt").write_text("new")
    place(tmp_path, gzip.compress(tar_bytes([GOOD])), root="kit/tree")
    run(tmp_path, here, archive)  # removes the old target, but not what it links to
    assert (target / "new.txt").read_text() == "new"
    assert (target / "tree/good.txt").read_bytes() == b"good"
    for name in ("kit/here/file", "elsewhere/file", "list.txt", archives.RECORD):
        assert (source / name).read_text() == name


def test_two_archives_share_directories_but_no_file(tmp_path):
    """Oracle: kit/a and kit/b of one archive each; kit/a of both."""
    first = place(tmp_path, gzip.compress(tar_bytes([(info("kit/a", 1), b"a")])))
    data = gzip.compress(tar_bytes([(info("kit/b", 1), b"b")]))
    target = run(tmp_path, first, place(tmp_path, data, "two.tgz"))
    assert (target / "kit/a").read_bytes() + (target / "kit/b").read_bytes() == b"ab"
    same = (tmp_path / "source/set.tgz").read_bytes()
    with pytest.raises(DataError, match=r"two\.tgz is refused: it has .*kit/a more"):
        run(tmp_path, first, place(tmp_path, same, "two.tgz"))
    assert (target / "kit/b").read_bytes() == b"b"  # the old target is left


def test_a_second_call_extracts_only_other_archives(tmp_path):
    """Oracle: no progress where nothing is done; the new content where the file is new."""
    seen = []
    archive = place(tmp_path, DATA)
    run(tmp_path, archive, report=lambda *progress: seen.append(progress))
    assert seen
    seen.clear()
    target = run(tmp_path, archive, report=lambda *progress: seen.append(progress))
    assert not seen
    place(tmp_path, gzip.compress(tar_bytes([GOOD])))
    assert run(tmp_path, archive) == target
    assert [p.name for p in (target / "tree").iterdir()] == ["good.txt"]


def test_a_directory_that_is_something_else_is_left_alone(tmp_path):
    """Oracle: the file in it."""
    archive = place(tmp_path, DATA)
    (tmp_path / "out/tree").mkdir(parents=True)
    (tmp_path / "out/tree/thesis.tex").write_text("years")
    with pytest.raises(DataError, match="not from extracting archives"):
        run(tmp_path, archive)
    assert everything(tmp_path / "out") == ["tree", "tree/thesis.tex"]


def test_progress_counts_the_bytes_of_verifying_and_extracting(tmp_path):
    """Oracle: twice the sizes of both archives, at the end; never less than before."""
    seen = []
    first = place(tmp_path, DATA, md5=MD5)
    data = tar_bytes([(info("other/x", 70_000), RNG.bytes(70_000))])
    second = place(tmp_path, data, "two.tar")
    run(tmp_path, first, second, report=lambda *progress: seen.append(progress))
    done = [count for count, _ in seen]
    total = 2 * (len(DATA) + len(data))
    assert {end for _, end in seen} == {total}
    assert done == sorted(done)
    assert done[-1] == total
    assert any(total / 2 < count < total for count in done)


def test_an_interrupted_extraction_starts_again(tmp_path):
    """Oracle: Ctrl-C amid the files, and what a killed process leaves."""
    archive = place(tmp_path, DATA)

    def stop(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, archive, report=stop)
    assert everything(tmp_path / "out") == []
    (tmp_path / "out/tree.partial/tree").mkdir(parents=True)
    (tmp_path / "out/tree.partial/tree/list.txt").write_text("half")
    target = run(tmp_path, archive)
    assert (target / "tree/list.txt").read_bytes() == b"a\nb\n"
    assert not (tmp_path / "out/tree.partial").exists()


def test_a_full_disk_leaves_nothing_and_more_room_is_enough(tmp_path):
    """Oracle: the system's own limit of a file's size, below the 200,001 bytes of one."""
    archive = place(tmp_path, DATA)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="nothing of it is left; once there") as full:
            run(tmp_path, archive)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "set.tgz" in str(full.value)
    assert everything(tmp_path / "out") == []
    target = run(tmp_path, archive)
    assert (target / "tree/images/b.jpg").read_bytes() == CONTENT["tree/images/b.jpg"]


def test_a_target_that_cannot_be_written_is_one_sentence(tmp_path):
    """Oracle: a file where the target's directory should be."""
    archive = place(tmp_path, DATA)
    (tmp_path / "out").write_text("file")
    with pytest.raises(OSError, match="permission to write, run it again"):
        run(tmp_path, archive)


RECORDS = [value for value in vars(archives).values() if isinstance(value, Archive)]


def test_the_records_are_complete():
    """Oracle: six archives; digests of 32 and 64 digits; the file in its address."""
    assert len(RECORDS) == len({record.file for record in RECORDS}) == 6
    for record in RECORDS:
        assert record.url.endswith(f"/{record.file}")
        assert record.licence
        assert re.search(r"\.(tar|tgz|tar\.gz|zip)$", record.file)
        assert record.md5 is None or re.fullmatch("[0-9a-f]{32}", record.md5)
        assert record.sha256 is None or re.fullmatch("[0-9a-f]{64}", record.sha256)
        assert record.limit >= (record.bytes or 0)
