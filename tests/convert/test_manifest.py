"""The manifest of published weight files, its reader, and the page beside it."""

import hashlib
import io
import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fcn_jax.convert import manifest
from fcn_jax.convert.manifest import Entry, check, digest, find, read_manifest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "third_party_weights"
README = (FOLDER / "README.md").read_text()
ENTRIES = manifest.default_manifest()
NETS = {
    *("vgg16", "caffenet", "alexnet", "googlenet"),
    *("voc-fcn32s", "voc-fcn16s", "voc-fcn8s", "voc-fcn8s-atonce", "voc-fcn-alexnet"),
    *("nyud-fcn32s-color", "nyud-fcn32s-hha"),
    *("nyud-fcn32s-color-d", "nyud-fcn32s-color-hha"),
    *("siftflow-fcn32s", "siftflow-fcn16s", "siftflow-fcn8s"),
    *("pascalcontext-fcn32s", "pascalcontext-fcn16s", "pascalcontext-fcn8s"),
}
DATA = b"asymmetric \x00\xff weights" * 100_000  # more than one piece
OTHER = b"other" * 440_000


def entry(file: str = "a.caffemodel", **changes) -> dict:
    """A record of which nothing is published but what is given."""
    record = {
        **dict.fromkeys(["bytes", "sha256", "sha256_prefix", "sha1", "md5"]),
        **{"file": file, "net": "vgg16", "origin": "caffe", "format": "caffemodel"},
        **{"url": "http://host/a", "licence": "free", "input": "BGR", "refused": None},
    }
    return record | changes


def written(folder: Path, data: bytes, name: str = "a.caffemodel") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_digest_reads_in_pieces(tmp_path):
    """Oracle: the digests of the whole bytes at once."""
    path = written(tmp_path, DATA)
    assert digest(path, ["sha256", "sha1", "md5"]) == {
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "sha1": hashlib.sha1(DATA).hexdigest(),
        "md5": hashlib.md5(DATA).hexdigest(),
    }


PUBLISHED = {
    "sha256": sha256(DATA),
    "sha1": hashlib.sha1(DATA).hexdigest(),
    "md5": hashlib.md5(DATA).hexdigest(),
}


@pytest.mark.parametrize("kind", PUBLISHED)
@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_published_checksum_proves_a_renamed_file(tmp_path, kind, size):
    """Oracle: the entry whose checksum was made from the same bytes."""
    entries = (
        Entry(**entry("b.pth", sha256="0" * 64)),
        Entry(
            **entry("c.pth", origin="wkentaro", bytes=size, **{kind: PUBLISHED[kind]})
        ),
    )
    verdict = check(written(tmp_path, DATA, "renamed"), "vgg16", entries)
    assert (verdict.status, verdict.entry) == ("known", entries[1])
    assert verdict.sha256 == sha256(DATA)
    assert verdict.sentence.endswith(f"renamed is c.pth, proved by its {kind}")


def test_eight_digits_prove_only_with_the_name(tmp_path):
    """Oracle: torchvision's rule, the digits of a name are those of its sha256."""
    prefix = sha256(DATA)[:8]
    entries = (Entry(**entry(f"net-{prefix}.pth", sha256_prefix=prefix)),)
    same = check(written(tmp_path, DATA, f"net-{prefix}.pth"), "vgg16", entries)
    renamed = check(written(tmp_path, DATA, "net.pth"), "vgg16", entries)
    damaged = check(written(tmp_path, OTHER, f"net-{prefix}.pth"), "vgg16", entries)
    assert (same.status, same.entry) == ("known", entries[0])
    assert (renamed.status, renamed.entry) == ("unknown", None)
    assert (damaged.status, damaged.entry) == ("mismatch", entries[0])
    assert f"{sha256(OTHER)} and has to begin {prefix}" in damaged.sentence


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({"bytes": 7}, f"it has {len(OTHER):,} bytes and the manifest says 7;"),
        ({"sha256": sha256(DATA)}, f"its sha256 is {sha256(OTHER)} and the manifest"),
        ({"sha1": "1" * 40}, f"sha1 is {hashlib.sha1(OTHER).hexdigest()} and"),
        ({"md5": "2" * 32}, "and the manifest says 22222222222222222222222222222222;"),
        ({"bytes": 7, "md5": "2" * 32}, "bytes and the manifest says 7"),
        ({"bytes": len(OTHER), "sha1": "1" * 40}, "sha1 is"),
    ],
)
def test_other_bytes_under_a_published_name_are_a_mismatch(
    tmp_path, published, message
):
    """Oracle: the one thing that was published of the name and differs."""
    entries = (Entry(**entry(**published)),)
    verdict = check(written(tmp_path, OTHER), "vgg16", entries)
    assert (verdict.status, verdict.entry) == ("mismatch", entries[0])
    assert message in verdict.sentence
    assert "fetch it again from http://host/a" in verdict.sentence


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_name_without_a_checksum_proves_nothing(tmp_path, size):
    """Oracle: nothing was published but a size, which agrees."""
    entries = (Entry(**entry(bytes=size)),)
    verdict = check(written(tmp_path, DATA), "vgg16", entries)
    assert (verdict.status, verdict.entry) == ("unknown", entries[0])
    assert sha256(DATA) in verdict.sentence


def test_a_file_of_no_entry_is_unknown(tmp_path):
    """Oracle: neither its name nor its bytes are listed; or nothing is."""
    path = written(tmp_path, DATA, "mine.pth")
    entries = (Entry(**entry(sha256="0" * 64)), Entry(**entry("b", md5="0" * 32)))
    verdict = check(path, "vgg16", entries)
    assert (verdict.status, verdict.entry) == ("unknown", None)
    assert f"not in the manifest, by name or by its sha256 {sha256(DATA)}" in (
        verdict.sentence
    )
    assert "there is no manifest" in check(path, "vgg16", ()).sentence


def test_the_checksum_outranks_the_name(tmp_path):
    """Oracle: b's bytes under a's name are b's."""
    entries = (
        Entry(**entry("a.caffemodel", sha256=sha256(OTHER))),
        Entry(**entry("b.caffemodel", sha256=sha256(DATA), net="alexnet")),
    )
    path = written(tmp_path, DATA, "a.caffemodel")
    verdict = check(path, "caffenet", entries)
    assert (verdict.status, verdict.entry) == ("known", entries[1])
    assert "it holds the weights of alexnet, not of caffenet" in verdict.sentence
    assert find(path, {"sha256": sha256(DATA)}, entries) == entries[1]
    assert find(path, {"sha256": "0" * 64}, entries) == entries[0]
    assert find("z", {"sha256": "0" * 64}, entries) is None


def test_a_known_sha256_is_read_once(tmp_path, monkeypatch):
    """Oracle: the calls; md5 is the slowest part of a conversion's look-up."""
    calls = []

    def counted(path, kinds=("sha256",)):
        calls.append(tuple(kinds))
        return digest(path, kinds)

    monkeypatch.setattr(manifest, "digest", counted)
    entries = (
        Entry(**entry("b", md5="0" * 32)),
        Entry(**entry(sha256=sha256(DATA), sha1="0" * 40)),
        Entry(**entry("c", bytes=7, sha1="0" * 40)),
    )
    check(written(tmp_path, DATA), "vgg16", entries)
    assert calls == [("sha256",)]
    check(written(tmp_path, OTHER, "mine"), "vgg16", entries)
    assert calls[1:] == [("sha256",), ("md5",)]  # sha1: by its size, not this file
    calls.clear()
    check(written(tmp_path, OTHER, "mine"), "vgg16", entries[1:])
    assert calls == [("sha256",)]


def write_manifest(folder: Path, content) -> Path:
    path = folder / "manifest.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_read_manifest_gives_what_was_written(tmp_path):
    """Oracle: the records themselves."""
    records = [entry("a", md5="0" * 32, bytes=5), entry("b", url=None)]
    found = read_manifest(write_manifest(tmp_path, records))
    assert found == (Entry(**records[0]), Entry(**records[1]))
    assert found[0].checksums() == {"md5": "0" * 32}


SHORT = {key: value for key, value in entry().items() if key != "licence"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "manifest.json: Expecting value"),
        ("[" * 100_000, "manifest.json: maximum recursion"),
        ('[{"file": "a", "file": "b"}]', "a key is repeated"),
        ({}, "holds a dict; it has to be a list"),
        ([7], "entry 1 is 7; an entry is an object"),
        ([entry(), SHORT], r"entry 2 lacks the keys \['licence'\] and has .* \[\]"),
        ([entry(size=1)], r"has the unknown keys \['size'\]"),
        ([entry(net=None)], "net is None; it has to be given"),
        ([entry(net=3)], "net is 3; it has to be text in one line"),
        ([entry(input="a\nb")], "it has to be text in one line"),
        ([entry(bytes=True)], "bytes is True; a size is a whole number"),
        ([entry(bytes=-1)], "bytes is -1; a size is a whole number"),
        ([entry(bytes="5")], "bytes is '5'"),
        ([entry(sha256="0" * 63)], "sha256 is .*; it has to be 64 digits"),
        ([entry(sha256_prefix="0" * 7 + "G")], "it has to be 8 digits 0..9, a..f"),
        ([entry(sha1="A" * 40)], "it has to be 40 digits"),
        ([entry(md5="0" * 33)], "it has to be 32 digits"),
        ([entry(origin="pytorch")], "an origin is one of caffe, torchvision,"),
        ([entry(url="ftp://host/a")], "it has to begin with http"),
        ([entry("a/b")], "it has to be a name without a directory"),
        ([entry("a"), entry("b"), entry("a")], "lists a more than once"),
    ],
)
def test_read_manifest_refuses(tmp_path, content, message):
    """Oracle: the table of what is no manifest."""
    with pytest.raises(ValueError, match=message):
        read_manifest(write_manifest(tmp_path, content))


def test_a_manifest_that_is_no_text_is_refused(tmp_path):
    """Oracle: bytes that are not UTF-8."""
    path = tmp_path / "manifest.json"
    path.write_bytes(b'[{"file": "\xff"}]')
    with pytest.raises(ValueError, match="manifest.json: 'utf-8' codec"):
        read_manifest(path)


def test_the_list_in_a_pipe_holds_every_value_whole():
    """Oracle: the values of the manifest, each on a line of its own."""
    text = io.StringIO()
    manifest.print_list(ENTRIES, Console(file=text, width=20))
    lines = text.getvalue().splitlines()
    names = [line for line in lines if not line.startswith(" ")]
    assert names == [e.file for e in ENTRIES]
    for e in ENTRIES:
        for kind, value in [*e.checksums().items(), ("input", e.input)]:
            assert f"  {kind}: {value}" in lines


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_list_on_a_terminal_loses_nothing(width):
    """Oracle: names and remarks, read off the cells with the line breaks taken out."""
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    manifest.print_list(ENTRIES, console)
    lines = text.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    cells = [line.split("│")[1:-1] for line in lines if line.startswith("│")]
    columns = zip(*cells, strict=True)
    left, _, kinds, right = ("".join("".join(c).split()) for c in columns)
    for e in ENTRIES:
        assert f"{e.file}{e.net},{e.origin}" in left
        assert "".join((e.refused or e.input).split()) in right
    assert kinds.count("sha256") == sum(
        bool(e.sha256 or e.sha256_prefix) for e in ENTRIES
    )


def test_without_a_manifest_there_is_nothing_to_list():
    """Oracle: an installed copy, which has no third_party_weights."""
    with pytest.raises(ValueError, match="run from a clone"):
        manifest.print_list((), Console())


def test_the_manifest_names_the_nets_of_the_papers():
    """Oracle: the four classifiers and the reference's fifteen directories."""
    named = {e.net for e in ENTRIES}
    assert named == NETS - {"nyud-fcn32s-color-d"}
    assert (
        "`nyud-fcn32s-color-d` (early fusion of colour and depth): none published"
        in (" ".join(README.split()))
    )


def test_what_is_known_of_the_classifiers_of_caffe():
    """Oracle: sizes by arithmetic, 4 bytes a parameter and a few names and sizes."""
    sizes = {e.file: e.bytes or 0 for e in ENTRIES if e.format == "caffemodel (V1)"}
    parameters = {
        "VGG_ILSVRC_16_layers.caffemodel": 138_357_544,
        "bvlc_reference_caffenet.caffemodel": 60_965_224,
        "bvlc_alexnet.caffemodel": 60_965_224,
        "bvlc_googlenet.caffemodel": 13_378_280,
    }
    assert sizes.keys() == parameters.keys()
    for file, count in parameters.items():
        assert 0 < sizes[file] - 4 * count < 25_000, file
    for e in ENTRIES:
        if e.sha256_prefix:
            assert e.file.endswith(f"-{e.sha256_prefix}.pth")


def test_the_manifest_and_the_converter_agree_on_the_mean():
    """Oracle: the converter's own records of a net and of an origin."""
    from fcn_jax.convert.layouts.weight_layouts import WEIGHT_LAYOUTS
    from fcn_jax.models.published import NETS as CONVERTED

    assert set(CONVERTED) == NETS
    compared = 0
    for e in ENTRIES:
        found = re.fullmatch(
            r"(BGR|RGB|channels as in the file), 0\.\.(255|1), mean (\S+) (\S+) (\S+), "
            r"std (.*)",
            e.input,
        )
        if e.refused or not found:
            continue
        mean = np.array([float(value) for value in found.groups()[2:5]])
        mean = mean[::-1] if found[1] == "BGR" else mean
        mean = mean * 255 if found[2] == "1" else mean
        (record,) = CONVERTED[e.net].preprocessing.values()
        own = WEIGHT_LAYOUTS[e.origin].mean or record.mean
        np.testing.assert_allclose(own, mean, atol=5e-4, err_msg=e.file)
        compared += 1
    refused = sum(e.refused is not None for e in ENTRIES)
    assert compared == len(ENTRIES) - refused - 1  # one net has two inputs


def sections() -> dict[str, tuple[str, str]]:
    """File -> the part of the page for it alone, and its whole section."""
    found = {}
    for section in README.split("\n## ")[1:]:
        for block in section.split("\n### ")[1:]:
            name, _, text = block.partition("\n")
            assert name not in found
            found[name] = (" ".join(text.split()), " ".join(section.split()))
    return found


def test_the_page_and_the_manifest_name_the_same_files():
    """Oracle: the one against the other, in the same order."""
    assert list(sections()) == [e.file for e in ENTRIES]


@pytest.mark.parametrize("e", ENTRIES, ids=lambda e: e.file)
def test_the_page_says_what_the_manifest_says(e):
    """Oracle: the manifest; every checksum of the page is one of the file's."""
    block, section = sections()[e.file]
    words = {"sha256_prefix": "sha256 begins"}
    said = re.findall(r"(sha256|sha256 begins|sha1|md5) `([0-9a-f]+)`", block)
    assert said == [(words.get(k, k), v) for k, v in e.checksums().items()]
    size = f"{e.bytes:,} bytes" if e.bytes else "size not known"
    assert f"Net `{e.net}`, {e.format}, {size}." in block
    assert e.url is None or f"<{e.url}>" in block
    assert f"`{e.origin}`" in section
    assert e.licence in section
    assert e.input in section
    commands = re.findall(r"```bash (.*?) ```", block)
    if e.refused:
        assert not commands
        assert f"Refused: {e.refused}." in block
        return
    (command,) = commands
    *start, source, target, net = shlex.split(command.partition(" --allow=")[0])
    assert start == ["python", "-m", "fcn_jax.convert"]
    assert source == f"third_party_weights/{e.file}"
    assert target.startswith(f"third_party_weights/{e.net}")
    assert net == f"--net={e.net}"
    partial = e.origin in ("torchvision-features", "keras-notop")
    assert command.endswith(" --allow=fc6,fc7,fc8") == partial


def test_no_two_commands_of_the_page_write_to_one_place():
    """Oracle: the targets."""
    targets = re.findall(r"fcn_jax\.convert \S+ (\S+)", README)
    assert len(targets) == sum(e.refused is None for e in ENTRIES)
    assert len(set(targets)) == len(targets)


def test_git_keeps_the_page_and_the_manifest_and_nothing_else():
    """Oracle: git's own reading of .gitignore."""
    names = [e.file for e in ENTRIES] + ["a.safetensors", "a.pt", "a.tar.gz", "vgg16/0"]
    kept = ["README.md", "manifest.json"]
    paths = [f"third_party_weights/{name}" for name in [*names, *kept]]
    try:
        result = subprocess.run(
            ["git", "check-ignore", "--no-index", *paths],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if result.returncode == 128:
        pytest.skip("this is no clone")
    assert result.stdout.splitlines() == paths[: -len(kept)]
