"""Which files of folders and globs are pictures, and where their results go."""

import os

import pytest

from fcn_jax.inference.picture_folders import find_pictures


@pytest.fixture
def photos(tmp_path):
    """A folder as it comes from several systems."""
    folder = tmp_path / "photos"
    for name in (
        *("b.jpg", "a.JPG", "c.jfif", "d.tif", "e.bmp", "f.webp", "g.tiff", "h.jpe"),
        *("._a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden/x.jpg"),
        *("notes.txt", "x.gif", "y.HEIC", "z.heic", "README"),
        *("day 1/a.jpg", "day 1/b.v2.png", "day 1/raw/a.jpg", "day 1/raw/list.txt"),
        *("out/b.png", "__MACOSX/._b.jpg"),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def stems(found):
    return [str(picture.stem) for picture in found.pictures]


def test_folders_are_read_with_those_in_them(photos):
    """Oracle: the names above, by hand; hidden files, and results, are no pictures."""
    found = find_pictures([str(photos)], photos / "out")
    assert stems(found) == [
        *("a", "b", "c", "d", "e", "f", "g", "h"),
        *("day 1/a", "day 1/b.v2", "day 1/raw/a"),
    ]
    assert [picture.file for picture in found.pictures][8:10] == [
        *(photos / "day 1/a.jpg", photos / "day 1/b.v2.png")
    ]
    assert found.left_out == {".heic": 2, ".txt": 2, ".gif": 1, "without ending": 1}
    sentence = found.sentence()
    assert sentence.startswith("6 files were left out")
    assert "2 .heic, 2 .txt" in sentence or "2 .txt, 2 .heic" in sentence


def test_names_of_files_and_globs(photos):
    """Oracle: by hand; a file that is named is taken, whatever its ending is."""
    found = find_pictures([str(photos / "README"), str(photos / "day 1/a.jpg")], photos)
    assert stems(found) == ["README", "a"]
    assert not found.sentence()
    found = find_pictures([str(photos / "*.jp*g"), str(photos / "b.jpg")], photos)
    assert stems(found) == ["b"]
    found = find_pictures([str(photos / "day*")], photos / "out")
    assert stems(found) == ["a", "b.v2", "raw/a"]
    found = find_pictures([str(photos / "**/*.jpg")], photos / "out")
    assert stems(found) == ["b", "a", "a"]


def test_what_a_shell_makes_of_a_star(photos):
    """Oracle: files of systems among the names are passed over, and said."""
    names = [str(path) for path in sorted(photos.iterdir()) if path.name[0] != "."]
    found = find_pictures(names, photos / "out")
    assert {"a", "b", "raw/a", "notes", "x"} <= set(stems(found))
    assert "Thumbs" not in stems(found)
    assert found.left_out["hidden"] == 2


def test_names_without_pictures_are_refused(photos):
    """Oracle: what is there instead, by hand."""
    for name in ("none*.jpg", "missing"):
        with pytest.raises(ValueError, match="(none.*jpg|missing) is no picture"):
            find_pictures([str(photos / "b.jpg"), str(photos / name)], photos)
    for name in ("__MACOSX", ".DS_Store"):
        with pytest.raises(ValueError, match=f"there is no picture in .*{name}"):
            find_pictures([str(photos / name)], photos)
        found = find_pictures([str(photos / "b.jpg"), str(photos / name)], photos)
        assert stems(found) == ["b"]
    (photos / "only").mkdir()
    (photos / "only/a.heic").write_bytes(b"")
    with pytest.raises(ValueError, match="no picture.*1 files were left out.*1 .heic"):
        find_pictures([str(photos / "only")], photos)


def test_links_to_folders_are_followed_once(photos):
    """Oracle: a loop, and a folder elsewhere that a link points to."""
    elsewhere = photos.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "k.png").write_bytes(b"")
    (photos / "link").symlink_to(elsewhere)
    (photos / "day 1" / "loop").symlink_to(photos)
    found = find_pictures([str(photos)], photos / "out")
    assert len(stems(found)) == len(set(stems(found))) == 12
    assert "link/k" in stems(found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_left_out(photos):
    """Oracle: the other pictures."""
    (photos / "day 1").chmod(0)
    try:
        assert len(find_pictures([str(photos)], photos / "out").pictures) == 8
    finally:
        (photos / "day 1").chmod(0o755)
