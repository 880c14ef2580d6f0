"""The record of a check, its tables, and what is carried to the machine."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.gpu_check import prepare, record, table
from benchmarks.gpu_check.journal import Entry, Journal
from fcn_jax.data.sources.catalog import open_source

ABOUT = {
    "date": "2026-11-28",
    "card": "NVIDIA X100 80GB",
    "driver_version": "580.1",
    "memory.total": "81559 MiB",
    "processor": "EPYC",
    "threads": 16,
    "python": "3.12.3",
    "versions": {"jax": "0.11.2", "torch": "2.11.0"},
}
WRONG = {"errors": {"loss": float("nan")}, "beyond": ["the error of its loss is nan"]}
CASE = {"task": "train", "net": "fcn8s", "batch": 8}


def race(stage, system, ms, **own):
    result = {"ms": ms, "nominal_tflops": 1000 / ms, "images_per_second": 8000 / ms}
    return Entry(stage, {"system": system, **CASE}, {**result, **own})


def product(library, dtype, tflops):
    row = {"what": "product", "dtype": dtype, "library": library}
    return Entry("peaks", row, {"tflops": tflops})


@pytest.fixture
def entries():
    frame = {"system": "fcn_jax_bf16", **CASE}
    return [
        Entry("machine", {"device": "gpu"}, ABOUT),
        product("jax", "bfloat16", 700.0),
        product("torch", "bfloat16", 800.0),
        product("jax", "float32", 50.0),
        Entry("peaks", {"what": "copy"}, {"tb_per_second": 2.5}),
        race("bfloat16", "fcn_jax_bf16", 2.5, peak_mib=2048.0),
        race("torch", "torch", 5.0),
        race("torch_compile", "torch_compile", 3.0),
        race("float32", "fcn_jax", 40.0),
        Entry("frame", {**frame, "frame": True}, {"ms": 2.5}),
        Entry("frame", {**frame, "frame": False}, {"ms": 4.0}),
        Entry("input", {"reader": "torch", "threads": 16}, {"skipped": "no torch"}),
    ]


def test_shares_are_of_the_fastest_product_in_the_same_arithmetic(entries):
    """Oracle: hand-computed: 400 of 800 and 25 of 50 TFLOP/s."""
    found = record.build(entries)
    assert found["machine"] == ABOUT
    assert found["peaks"] == {"bfloat16": 800, "float32": 50, "copy": 2.5}
    shares = {
        r["system"]: r.get("share_of_peak")
        for r in found["rows"]
        if "system" in r and r["stage"] != "frame"
    }
    assert shares["fcn_jax_bf16"] == pytest.approx(0.5)
    assert shares["fcn_jax"] == pytest.approx(0.5)
    assert shares["torch"] == pytest.approx(0.25)
    assert record.failures(found) == []


def test_failures_are_named(entries):
    """Oracle: an error, and gradients beyond their bounds; a peer's are its own."""
    row = {"task": "train", "net": "fcn8s", "system": "fcn_jax"}
    entries += [
        Entry("correctness", row, {"beyond": ["too large"]}),
        Entry("correctness", {**row, "system": "torch"}, {"beyond": ["too large"]}),
        Entry("camvid", {"dtype": "bfloat16"}, {"error": "no data"}),
    ]
    assert record.failures(record.build(entries)) == [
        "correctness train fcn8s fcn_jax: too large",
        "camvid bfloat16: no data",
    ]


def test_a_record_as_markdown(entries):
    """Oracle: written by hand."""
    shown = table.render(record.build(entries))
    assert (
        shown
        == """### NVIDIA X100 80GB

Measured on 2026-11-28, driver 580.1, 81559 MiB, Python 3.12.3, jax 0.11.2, torch 2.11.0, 16 cores of EPYC.

| task | net | images | ms | images/s | of peak | GiB | eager ms | x | compiled ms | x | float32 ms | TF32 ms |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
| update | fcn8s | 8 | 2.5 | 3200 | 0.5 | 2.0 | 5 | 2.00 | 3 | 1.20 | 40 |  |

- Matrix products: bfloat16 800 TFLOP/s, float32 50 TFLOP/s.
- Copies, read and written counted: 2.5 TB/s.
- Update of fcn8s, 8 images: 2.5 ms with the frame, 4 ms with the whole padding computed.
- Not measured, input: no torch (1 rows)."""
    )


def test_a_record_that_was_cut_short_is_shown():
    """Oracle: nothing that is missing is written."""
    assert table.render(record.build([])).startswith("### no machine")


def test_records_are_stored_by_card_and_shown_between_the_marks(
    entries, tmp_path, monkeypatch
):
    """Oracle: the page around the marks stays, a second record of a card replaces."""
    monkeypatch.setattr(table, "FOLDER", tmp_path / "gpu")
    monkeypatch.setattr(table, "README", tmp_path / "README.md")
    before, after = "# Speed\n\n", "\n\n## More\n"
    table.README.write_text(f"{before}{table.BEGIN}\n\nold\n\n{table.END}{after}")
    found = record.build(entries)
    for _ in range(2):
        assert table.store(found).name == "nvidia_x100_80gb.json"
    table.write_readme()
    page = table.README.read_text()
    assert (
        page == f"{before}{table.BEGIN}\n\n{table.render(found)}\n\n{table.END}{after}"
    )
    found["machine"] = {**ABOUT, "card": ""}
    with pytest.raises(ValueError, match="no card"):
        table.store(found)
    with pytest.raises(ValueError, match="lacks the mark"):
        table.with_records("# Speed", [])


def test_the_readme_shows_the_records_that_there_are():
    """Oracle: the files of benchmarks/gpu."""
    page = table.README.read_text()
    assert table.with_records(page, table.stored_records()) == page


def test_camvid_is_packed_as_a_folder_data_set(tmp_path):
    """Oracle: the labels, void as ignored; the images up to JPEG's loss."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, (30, 40), dtype=np.uint8)
    image = np.full((30, 40, 3), (200, 100, 50), np.uint8)
    for split in ("train", "val", "test"):
        for folder, values in ((split, image), (f"{split}annot", labels)):
            (tmp_path / "camvid" / folder).mkdir(parents=True)
            Image.fromarray(values).save(tmp_path / "camvid" / folder / f"{split}0.png")
    prepare.pack_camvid(tmp_path / "camvid", tmp_path / "packed")
    source = open_source("folder", "test", folder=str(tmp_path / "packed"))
    example = source[0]
    found = next(iter(example.labels.values()))
    np.testing.assert_array_equal(found, np.where(labels == 11, 255, labels))
    difference = example.inputs["color"].astype(int) - image
    assert np.abs(difference).max() <= 4
    assert prepare.mebibytes(tmp_path / "packed") < 0.1
    with pytest.raises(ValueError, match="is .* CamVid"):
        prepare.pack_camvid(tmp_path / "packed", tmp_path / "other")


def test_photographs_are_packed_smaller(tmp_path):
    """Oracle: the classes, and Pillow's sizes; the shorter side is 128."""
    image = Image.new("RGB", (320, 200), (200, 100, 50))
    for folder in ("train/cat", "train/dog", "val/cat", "val/dog"):
        own = tmp_path / "images" / folder
        own.mkdir(parents=True)
        image.save(own / f"{folder.replace('/', '_')}.png")
    prepare.pack_images(tmp_path / "images", tmp_path / "packed")
    source = open_source("image_folder", "val", folder=str(tmp_path / "packed"))
    pixels = source[0].inputs["color"]
    assert pixels.shape == (128, 205, 3)
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 4
    with pytest.raises(ValueError, match="has no <class>/<picture>"):
        prepare.pack_images(tmp_path / "packed" / "train", tmp_path / "other")


def test_numbers_that_are_not_finite_are_shown_as_such(entries, tmp_path):
    """Oracle: JSON without NaN, and the word in the table."""
    for entry in (
        race("float32", "fcn_jax_tf32", float("nan")),
        Entry("correctness", {**CASE, "system": "torch"}, WRONG),
    ):
        Journal(tmp_path).end(*entry)
    found = record.build([*entries, *Journal(tmp_path).entries()])
    json.dumps(found, allow_nan=False)
    shown = table.render(found)
    assert "| 40 | nan |" in shown
    assert "loss nan; the error of its loss" in shown
