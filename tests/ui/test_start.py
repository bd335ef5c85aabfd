"""What a page may read and write: everything within the roots and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmc4viz.types import ConfigError, ShardError
from mmc4viz.ui.start import Roots
from tests.support.documents import info, write_tar


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a root with a shard in it and one outside, and change to another folder."""
    for name in ("root", "root-beside", "elsewhere"):
        (tmp_path / name).mkdir()
        write_tar(tmp_path / name / "a.tar", [("a", info([[0.3]]))])
    (tmp_path / "root" / "link.tar").symlink_to(tmp_path / "root-beside" / "a.tar")
    (tmp_path / "root" / "within.tar").symlink_to(tmp_path / "root" / "a.tar")
    (tmp_path / "root" / "folder").symlink_to(tmp_path / "root-beside")
    (tmp_path / "root" / "secret.txt").write_text("{}")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def bounded(here: Path) -> Roots:
    return Roots.of((), (), (), [str(here / "root")], str(here))


INSIDE = [
    "root/a.tar",
    "root",
    "root/*.tar",
    "root/{a,within}.tar",
    "root/../root/a.tar",
    "root/w*",
]
OUTSIDE = [
    "root-beside/a.tar", "root/../root-beside/a.tar", "root/link.tar", "root/folder/a.tar",
    "root/folder", "root/f*/a.tar", "root/{link,a}.tar", "root/l*.tar", "root*/a.tar", "*/a.tar",
    "root/{..,.}/root-beside/a.tar", "root/{.,x}./root-beside/a.tar", "root/.{.,x}/root-beside",
    "root/{a,/..,}/../root-beside/a.tar", "root/\\.\\./root-beside/{a,b}.tar", "root/[.][.]/{..}/x",
    "root/a\0.tar", "", "/", ".", "a.tar", "~", "root/secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("pattern", INSIDE)
def test_what_is_inside_is_read(here: Path, pattern: str) -> None:
    if pattern in ("root", "root/*.tar"):
        (here / "root" / "link.tar").unlink()
    assert bounded(here).shards([f"{here}/{pattern}"])


@pytest.mark.parametrize("pattern", OUTSIDE)
def test_what_is_outside_is_refused(here: Path, pattern: str) -> None:
    named = f"{here}/{pattern}" if pattern.startswith(("root", "*")) else pattern
    with pytest.raises((ConfigError, ShardError)) as caught:
        bounded(here).shards([named])
    assert "\n" not in str(caught.value)
    assert caught.type is ConfigError


def test_a_link_out_of_a_folder_does_not_say_where_to(here: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        bounded(here).shards([f"{here}/root"])
    assert "root-beside" not in str(caught.value)


STORES = [
    ("s3://bucket/a", "s3://bucket/a/b.tar", True),
    ("s3://bucket/a", "s3://bucket/a/*.tar", True),
    ("s3://bucket/a", "s3://bucket/ab/c.tar", False),
    ("s3://bucket/a", "s3://bucket/a/../b.tar", False),
    ("s3://bucket/a", "s3://bucket/a/{..,x}/b.tar", False),
    ("s3://bucket/a", "s3://other/a/b.tar", False),
    ("s3://bucket/a", "gs://bucket/a/b.tar", False),
    ("s3://bucket", "s3://bucket/a/b.tar", True),
    ("s3://bucket", "s3://bucket.evil/a/b.tar", False),
    ("https://host/a", "https://host/a/b.tar?signature=x/y", True),
    ("https://host/a", "http://host/a/b.tar", False),
    ("https://host/a", "https://host:444/a/b.tar", False),
    ("https://host/a", "https://user@host/a/b.tar", False),
    ("https://host/a", "https://host/a/%2e%2e/b.tar", False),
    ("https://host/a", "https://host/a\\..\\b.tar", False),
    ("https://host/a", "https://host/a/\t../b.tar", False),
    ("https://host/a", "zip://x::https://host/a/b.zip", False),
    ("https://host/a", "https://host/a/b.zip::file:///etc/x.tar", False),
    ("s3://bucket/../x", "/etc/a.tar", False),
    ("s3://bucket/../x", "s3://bucket/x/a.tar", False),
    ("/", "http://127.0.0.1:22/a.tar", False),
    ("/", "file:///etc/a.tar", False),
    ("/", "ftp://host/a.tar", False),
    ("/", "github://o:r@/a.tar", False),
    ("/", "memory://a.tar", False),
]


@pytest.mark.parametrize(("root", "asked", "allowed"), STORES)
def test_stores_are_opened_below_what_was_named(root: str, asked: str, allowed: bool) -> None:
    roots = Roots.of((), (), (), [root], ".")
    if allowed:
        assert roots.pattern(asked) == asked
        return
    with pytest.raises(ConfigError):
        roots.pattern(asked)
    assert "{" in asked or not roots.allow(asked, writing=True)


def test_the_start_names_roots(here: Path) -> None:
    shard, images = str(here / "root" / "a.tar"), str(here / "root-beside")
    labels = str(here / "labels.sqlite")
    roots = Roots.of((shard,), (images,), (labels,), None, os.curdir)
    for path in (shard, f"{here}/root/new", f"{images}/x.jpg", labels, "a.tar", "x/y"):
        assert roots.allow(path)
        assert roots.allow(path, writing=True)
    for path in (str(here), f"{here}/other.sqlite", f"{labels}-x", f"{here}/root-x"):
        assert not roots.allow(path)
    only = Roots.of((shard,), (), (labels,), [images], os.curdir)
    assert only.allow(shard)
    assert not only.allow(f"{here}/root/new", writing=True)
    assert not only.allow("a.tar")
    assert only.allow(f"{images}/new", writing=True)
    assert only.allow(labels, writing=True)


def test_a_shard_that_was_named_is_read_wherever_it_leads(here: Path) -> None:
    link, odd = str(here / "root" / "link.tar"), str(here / "root" / "secret.txt")
    roots = Roots.of((link, odd), (), (), None, os.curdir)
    assert [shard.path for shard in roots.shards([link, odd])] == [link, odd]


@pytest.mark.parametrize("name", ["gpt2", "EleutherAI/gpt-neox-20b", "a.b/c_d-e"])
def test_tokenizers_of_the_hub_have_plain_names(here: Path, name: str) -> None:
    assert bounded(here).tokenizer(name) == name


@pytest.mark.parametrize("name", ["../x", "./x", "é", "/etc", "a/b/c", "x/", "..", "~", "~root/x"])
def test_other_tokenizers_are_paths(here: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="outside"):
        bounded(here).tokenizer(name)
