"""The published archives of the data sets, verified and extracted as a whole or not."""

import functools
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fcn_jax.data.builders.extraction import extract
from fcn_jax.data.examples import DataError

GIB = 2**30
RECORD = ".archives.json"  # in the target: what was extracted there

Report = Callable[[int, int], None]
"""Called with the bytes that are done and those to do."""


@dataclass(frozen=True)
class Archive:
    """A published file.

    Attributes:
        file: its name; .tar, .tgz, .tar.gz or .zip.
        bytes: its size; None where that is not published.
        md5: in hexadecimal; None where that is not published.
        sha256: likewise; checked in place of the MD5 where both are known.
        url: where it is published.
        licence: under which it is.
        root: the directory that it extracts to; where that is in the source, the
            archive counts as extracted.
        limit: bytes that its content must not exceed.
    """

    file: str
    bytes: int | None
    md5: str | None
    sha256: str | None
    url: str
    licence: str
    root: str
    limit: int

    @property
    def remedy(self) -> str:
        """What to do about a damaged copy."""
        return f"get it again from {self.url} ({self.licence})"


_VOC = "https://thor.robots.ox.ac.uk/pascal/VOC"
_FLICKR = "photographs of Flickr, under no open licence, for research"

VOC2010 = Archive(
    file="VOCtrainval_03-May-2010.tar",
    bytes=None,
    md5="da459979d0c395079b5c75ee67908abb",
    sha256=None,
    url=f"{_VOC}/voc2010/VOCtrainval_03-May-2010.tar",
    licence=_FLICKR,
    root="VOCdevkit/VOC2010",
    limit=8 * GIB,
)
VOC2011 = Archive(
    file="VOCtrainval_25-May-2011.tar",
    bytes=None,
    md5="6c3384ef61512963050cb5d687e5bf1e",
    sha256=None,
    url=f"{_VOC}/voc2011/VOCtrainval_25-May-2011.tar",
    licence=_FLICKR,
    root="TrainVal/VOCdevkit/VOC2011",
    limit=8 * GIB,
)
VOC2012 = Archive(
    file="VOCtrainval_11-May-2012.tar",
    bytes=1_999_639_040,
    md5="6cd6e144f989b92b3379bac3b3de84fd",
    sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
    url=f"{_VOC}/voc2012/VOCtrainval_11-May-2012.tar",
    licence=_FLICKR,
    root="VOCdevkit/VOC2012",
    limit=8 * GIB,
)
SBD = Archive(
    file="benchmark.tgz",
    bytes=1_419_539_633,
    md5="82b4d87ceb2ed10f6038a1cba92111cb",
    sha256="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
    "semantic_contours/benchmark.tgz",
    licence="no licence stated; photographs of Flickr",
    root="benchmark_RELEASE",
    limit=16 * GIB,
)
# 2,688 scenes of 256x256 pixels with two label maps, at most 8 bytes a pixel.
SIFT_FLOW = Archive(
    file="SiftFlowDataset.zip",
    bytes=None,
    md5=None,
    sha256=None,
    url="http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/SiftFlowDataset.zip",
    licence="no licence stated; photographs of LabelMe",
    root="SemanticLabels",
    limit=4 * GIB,
)
# 10,103 label maps of at most 500x500 pixels, 2 bytes each.
PASCAL_CONTEXT = Archive(
    file="trainval.tar.gz",
    bytes=None,
    md5=None,
    sha256=None,
    url="https://www.cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz",
    licence="no licence stated",
    root="trainval",
    limit=8 * GIB,
)


def unpack(
    source: Path,
    target: Path,
    archives: Sequence[Archive],
    report: Report | None = None,
) -> Path:
    """Extract those archives of a data set that a directory has.

    All are verified before the first is extracted. They go into `<target>.partial`,
    which is renamed at the end: a target is there as a whole or not at all. Whatever else
    the source holds, such as the extracted tree of another archive, is linked there.

    Args:
        source: holds archives, extracted trees, or both.
        target: a directory of its own; what an earlier call left there is used again
            while the archives are the same ones.
        archives: of the data set; those that the source has not are passed over.
        report: progress, in bytes of the archives read.

    Returns:
        The source itself where it has no archive that is not extracted beside it; else
        the target.

    Raises:
        DataError: for an archive of another size or checksum than the published one, one
            that is damaged or holds what no data set needs, or a target that is
            something else.
        OSError: where the target cannot be written, as on a full disk; nothing of it is
            left.
    """
    found = [
        a
        for a in archives
        if (source / a.file).is_file() and not (source / a.root).exists()
    ]
    if not found:
        return source
    others = _others(source, archives)
    record = _record(source, found, others)
    if _recorded(target) == record:
        return target
    steps = _steps(source, found, report)
    for archive in found:
        verify(source / archive.file, archive, next(steps))
    partial = target.with_name(f"{target.name}.partial")
    try:
        _fill(partial, source, found, steps)
        (partial / RECORD).write_text(record)
        _link(partial, source, others)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise OSError(
                error.errno,
                f"extracting {', '.join(a.file for a in found)} to {target} failed "
                f"({error.strerror or error}), and nothing of it is left; once there is "
                "room and permission to write, run it again",
            ) from error
        raise
    return target


def _others(source: Path, archives: Sequence[Archive]) -> list[str]:
    """Return what is in the source besides archives, from the outermost inwards."""
    own = {RECORD, *(archive.file for archive in archives)}
    outer = sorted(path.name for path in source.iterdir() if path.name not in own)
    return outer + [a.root for a in archives if (source / a.root).is_dir()]


def _record(source: Path, archives: Sequence[Archive], others: Sequence[str]) -> str:
    states = [(a.file, (source / a.file).stat()) for a in archives]
    files = [[file, s.st_size, s.st_mtime_ns] for file, s in states]
    return json.dumps([str(source.resolve()), files, others])


def _recorded(target: Path) -> str | None:
    """Return the record of what the target holds; None if there is no target.

    Raises:
        DataError: for a target that no call has written, which is left alone.
    """
    if not target.exists():
        return None
    try:
        return (target / RECORD).read_text()
    except OSError as error:
        raise DataError(
            f"{target} is there, and not from extracting archives ({RECORD} is missing); "
            "remove it, or extract the archives elsewhere"
        ) from error


def _fill(
    partial: Path,
    source: Path,
    archives: Sequence[Archive],
    steps: Iterator[Callable[[int], None]],
) -> None:
    if partial.exists():  # of a call that was killed
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    for archive in archives:
        extract(
            source / archive.file,
            partial,
            limit=archive.limit,
            remedy=archive.remedy,
            step=next(steps),
        )


def _link(partial: Path, source: Path, names: Sequence[str]) -> None:
    for name in names:
        if not (partial / name).exists():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).symlink_to((source / name).resolve())


def _steps(
    source: Path, archives: Sequence[Archive], report: Report | None
) -> Iterator[Callable[[int], None]]:
    """Yield a progress callback for each archive's check, then each extraction."""
    sizes = [(source / archive.file).stat().st_size for archive in archives] * 2
    for start in itertools.accumulate(sizes[:-1], initial=0):
        yield functools.partial(_step, report, start, sum(sizes))


def _step(report: Report | None, start: int, total: int, done: int) -> None:
    if report is not None:
        report(start + done, total)


def verify(path: Path, archive: Archive, step: Callable[[int], None]) -> None:
    """Compare a file with the published size and checksum, where there are any.

    Args:
        path: the user's copy.
        archive: what is published.
        step: called with the bytes done.

    Raises:
        DataError: where they differ, with both.
    """
    size = path.stat().st_size
    if archive.bytes is not None and size != archive.bytes:
        raise DataError(
            f"{path} has {size} bytes, and the published file {archive.bytes}; "
            f"{archive.remedy}"
        )
    kind = "sha256" if archive.sha256 else "md5"
    published = archive.sha256 or archive.md5
    if published is not None:
        digest, done = hashlib.new(kind, usedforsecurity=False), 0
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
                step(done := done + len(chunk))
        if digest.hexdigest() != published:
            raise DataError(
                f"{path} has the {kind.upper()} {digest.hexdigest()}, and the published "
                f"file {published}; {archive.remedy}"
            )
    step(size)
