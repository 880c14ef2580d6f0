"""Damages classes.txt files and split lists at random and looks at what is made of them.

    python -m tests.data.fuzz_lists --executions=100000

Everything must be refused with a DataError of one line, or be read into what the file can
hold: each class with a value or a line of its own, each line of a list one stem. A
finding is printed with its bytes and ends the run with status 1.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fcn_jax.data.examples import DataError
from fcn_jax.data.folder.class_list import read_class_list
from fcn_jax.data.folder.split_lines import read_stems
from fcn_jax.data.folder.text_lines import has_unseen

KNOWN = ("i1", "i2", "my picture", "a,b", "1", "caf\u00e9", "x.jpg")

CLASS_FILES = (
    "ground\nliving cell\ndog\n",
    "ground 0 0 0\nliving cell 10 20 30\ndog 255 0 0\nignore 1 1 1\n",
    "0-6, 9: ignore\n7: road 128 64 128\n255: sky 1 2 3\n",
    "# label:color_rgb:parts:actions\nground:0,0,0::\ncat:10,20,30:a,b:run\n",
    "__ignore__\n_background_\ncat\n",
    "name,r,g,b\nground,0,0,0\ncat,10,20,30\n",
    "['a', 'b']\n",
)
SPLIT_FILES = (
    "i1\ni2\nmy picture\n",
    "/SegNet/train/i1.png /SegNet/trainannot/i1.png\nx\\i2.png y\\i2.png\n",
    "i1  1\ni2  1\n",
    "image,mask\ni1.png,i1.png\ni2.png,i2.png\n",
    "id;name\n1;i1\n7;i2\n",
    "cafe\u0301.png\nx.jpg\n\n",
)
PIECES = (
    *(b"\0", b"\n", b"\r", b"\t", b" ", b",", b";", b":", b"#", b"[", b"]", b"{", b"'"),
    *(
        b'"',
        b"255",
        b"256",
        b"-1",
        b"1 1 1",
        b"ignore",
        b"__ignore__",
        b"\xff\xfe",
        b"-",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
        b"9" * 5000,
        b"::",
    ),
    *(
        b"\xe2\x80\xae",
        b"\x1b[2J",
        b"0-255: ",
        b"i1",
        b"../",
        b"\\",
        b" " * 3000,
        b".png",
    ),
)


def flip_bit(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def insert(rng: random.Random, data: bytearray) -> None:
    place = rng.randrange(len(data) + 1)
    data[place:place] = rng.choice(PIECES)


def replace(rng: random.Random, data: bytearray) -> None:
    place = rng.randrange(len(data))
    data[place : place + rng.randrange(1, 8)] = rng.choice(PIECES)


def cut(rng: random.Random, data: bytearray) -> None:
    place = rng.randrange(len(data))
    del data[place : place + rng.choice((1, 3, len(data)))]


def repeat(rng: random.Random, data: bytearray) -> None:
    start = rng.randrange(len(data))
    piece = bytes(data[start : start + rng.randrange(1, 40)])
    data += piece * rng.choice((1, 2, 300))


def encode(rng: random.Random, data: bytearray) -> None:
    text = data.decode("utf-8", "replace")
    data[:] = text.encode(
        rng.choice(("utf-16", "utf-16-le", "utf-32", "latin-1")), "replace"
    )


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    *(flip_bit, insert, insert, replace, cut, repeat, encode),
)


def mutated(rng: random.Random, text: str) -> bytes:
    data = bytearray(text.encode())
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if data:
            rng.choice(MUTATIONS)(rng, data)
    return bytes(data)


def read_classes(path: Path) -> str:
    """Reads a list of classes; what is wrong with the result, "" where nothing is."""
    found = read_class_list(path)
    names, count = found.classes.names, len(found.classes)
    if len(set(names)) != count or any(has_unseen(name) for name in names):
        return f"names {names}"
    if found.colors is not None and found.colors[:count] != found.classes.palette:
        return f"colours {found.colors}"
    if found.values is not None:
        ids = set(found.values)
        if len(found.values) != 256 or ids - {-1, 255} != set(range(count)):
            return f"values {sorted(ids)} of {count} classes"
    return ""


def read_list(path: Path) -> str:
    """Reads a split list; what is wrong with the result."""
    stems, problems = read_stems(path, path.name, KNOWN)
    if any("\n" in problem for problem in problems):
        return f"problems {problems}"
    if any(not stem or "\0" in stem for stem in stems):
        return f"stems {stems[:9]}"
    return ""


def run(executions: int, seed: int, directory: Path) -> int:
    """Reads that many files of each kind; the number of findings."""
    rng = random.Random(seed)
    path, findings = directory / "list.txt", 0
    counts = {"read": 0, "refused": 0}
    for read, seeds in ((read_classes, CLASS_FILES), (read_list, SPLIT_FILES)):
        for _ in range(executions):
            content = mutated(rng, rng.choice(seeds))
            path.write_bytes(content)
            start = time.process_time()
            try:
                wrong = read(path)
                counts["read"] += 1
            except DataError as error:
                wrong = "a message of lines" if "\n" in str(error) else ""
                counts["refused"] += 1
            except Exception as error:
                wrong = repr(error)
            if time.process_time() - start > 1:
                wrong = wrong or "more than a second"
            if wrong:
                findings += 1
                print(f"{read.__name__}: {wrong} of {content[:400]!r}")
    print(f"{counts}, findings: {findings}")
    return findings


def main() -> int:
    """The status of the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        return min(1, run(options.executions, options.seed, Path(directory)))


if __name__ == "__main__":
    sys.exit(main())
