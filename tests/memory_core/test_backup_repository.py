"""A repository has whole backups or none, keeps each file once, and names what is damaged."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from memory_core import (
    BadInputError,
    CorruptionError,
    IncompatibleError,
    StorageFullError,
    UnavailableError,
)
from memory_core import backup_place as places
from memory_core.backup_deletion import remove_all_but
from memory_core.backup_manifest import (
    Manifest,
    ShardBackup,
    StoredFile,
    encode_manifest,
)
from memory_core.backup_marks import STALE_NS
from memory_core.backup_place import BackupPlace, absolute_uri
from memory_core.backup_repository import BackupRepository, memories_in
from memory_core.backups import find_backup, list_backups

NAMES = ("000001.sst", "000002.sst", "000003.sst", "MANIFEST-000004", "CURRENT")


@pytest.fixture(params=["folder", "file", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each sort: a path, a URI of pyarrow's, and one of fsspec's."""
    if request.param == "memory":
        pytest.importorskip("fsspec")
        return f"memory://{secrets.token_hex(8)}/deep"
    return str(tmp_path / "b") if request.param == "folder" else f"file://{tmp_path}/b"


def stored(name: str, content: bytes) -> StoredFile:
    return StoredFile(name, len(content), sha256(content).hexdigest())


def back_up(
    repository: BackupRepository, files: dict[str, bytes], memory_id: str = "i"
) -> Manifest:
    backup = repository.begin(memory_id)
    listed = [stored(name, content) for name, content in files.items()]
    for file, there in zip(listed, repository.have(listed), strict=True):
        if not there:
            repository.add(file, [files[file.name]])
    return finish(repository, backup, listed, memory_id)


def finish(
    repository: BackupRepository, backup: str, files: list[StoredFile], memory_id: str = "i"
) -> Manifest:
    part = ShardBackup(0, "host", files, 1, 2)
    manifest = Manifest(backup, repository.memory, memory_id, 1, [part], repository.clock(), 3)
    repository.finish(manifest)
    return manifest


def fetched(repository: BackupRepository, manifest: Manifest, folder: Path) -> dict[str, bytes]:
    found = {}
    for file in manifest.shards[0].files:
        path = folder / secrets.token_hex(8)
        repository.fetch(file, str(path), 0)
        found[file.name] = path.read_bytes()
    return found


def test_what_was_backed_up_is_read_back(uri: str, tmp_path: Path):
    """Any sort of place gives back the bytes, and lists the backup under its memory."""
    place = BackupPlace(uri)
    assert memories_in(place) == []
    files = {"000001.sst": b"abc" * 1_000_000, "CURRENT": b"", "MANIFEST-000004": b"m"}
    manifest = back_up(BackupRepository(place, "m"), files)
    repository, found = find_backup(uri, "m")
    assert found == manifest
    assert fetched(repository, found, tmp_path) == files
    assert memories_in(place) == ["m"]
    assert [one.backup for one in list_backups(uri)["m"].backups] == [manifest.backup]


def test_a_file_is_kept_once(tmp_path: Path):
    """A file that the repository has is not written again, and none is left half written."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    back_up(repository, {"000001.sst": b"one"})
    before = [path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("tables/*")]
    back_up(repository, {"000001.sst": b"one", "000002.sst": b"one", "000003.sst": b"two"})
    after = sorted(path.stat().st_mtime_ns for path in (tmp_path / "b").rglob("tables/*"))
    assert after[:1] == before
    assert len(after) == 2
    assert not list((tmp_path / "b").rglob(f"*{places.UNFINISHED}*"))


def test_a_backup_without_its_files_is_none(tmp_path: Path):
    """A manifest whose files are not all there is not written, and the message names the file."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    backup = repository.begin("i")
    missing = stored("000001.sst", b"never written")
    with pytest.raises(UnavailableError, match=r"000001\.sst of shard 0, written on host"):
        finish(repository, backup, [missing])
    repository.abandon(backup)
    assert repository.listing().backups == []
    with pytest.raises(BadInputError, match="there are no backups"):
        repository.manifest()


def test_a_shorter_file_is_written_again(tmp_path: Path):
    """What a writer that was killed left under a file's name does not pass for the file."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    back_up(repository, {"000001.sst": b"whole"})
    [file] = (tmp_path / "b").rglob("tables/*")
    file.write_bytes(b"who")
    manifest = back_up(repository, {"000001.sst": b"whole"})
    assert fetched(repository, manifest, tmp_path) == {"000001.sst": b"whole"}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"hole!"), "checksum is wrong"),
        (lambda path: path.write_bytes(b"who"), "has 3 bytes of 5"),
        (lambda path: path.write_bytes(b"whole and more"), "longer than 5"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Any, said: str):
    """A flipped, short, long or missing file is damage, named with its shard and its own name."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    manifest = back_up(repository, {"000001.sst": b"whole"})
    [path] = (tmp_path / "b").rglob("tables/*")
    damage(path)
    with pytest.raises(CorruptionError, match=said) as caught:
        fetched(repository, manifest, tmp_path)
    assert str(path) in caught.value.path
    assert "000001.sst of shard 0" in caught.value.path


BACKUP = "20990101T000000.000000Z-00000000"


def hostile(**changed: Any) -> bytes:
    """A manifest of ours with something in it that none of ours has, and a right checksum."""
    file = stored("000001.sst", b"")
    part = ShardBackup(0, "host", [file], 1, 2)
    manifest = Manifest(BACKUP, "m", "i", 1, [part], 1, 3)
    return encode_manifest(msgspec.structs.replace(manifest, **changed))


def with_files(*files: StoredFile) -> bytes:
    return hostile(shards=[ShardBackup(0, "h", list(files), 1, 2)])


def with_file(**changed: Any) -> bytes:
    return with_files(msgspec.structs.replace(stored("000001.sst", b""), **changed))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is damaged"),
        (b"{}", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (hostile()[:-20], "is damaged"),
        (hostile().replace(b'"host"', b'"hoss"'), "its checksum is wrong"),
        (hostile(memory="other"), "it is of 'other'"),
        (hostile(backup="20990101T000000.000000Z-00000001"), "it is of 'm'"),
        (hostile(shards=[]), "it has 0 shards"),
        (hostile(shards=[ShardBackup(1, "h", [], 1, 2)]), "its shard 0 is numbered 1"),
        (hostile(generation=-1), "its generation is below 0"),
        (with_file(name="../../000001.sst"), "as no database has"),
        (with_file(name="/etc/passwd"), "as no database has"),
        (with_file(name="000001.sst\n"), "as no database has"),
        (with_file(name="LOCK"), "as no database has"),
        (with_file(sha256="../" * 20), "no checksum and size"),
        (with_file(sha256="F" * 64), "no checksum and size"),
        (with_file(size_bytes=-1), "no checksum and size"),
        (with_files(stored("CURRENT", b""), stored("CURRENT", b"x")), "a file twice"),
        (json.dumps({"schema_version": 99, "anything": True}).encode(), "a later version"),
    ],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, data: bytes, said: str):
    """What is cut, flipped, hostile or of a later version is told, and hides no whole backup."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    whole = back_up(repository, {"000001.sst": b"x"})
    (tmp_path / "b" / "m" / BACKUP).mkdir()
    manifest = tmp_path / "b" / "m" / BACKUP / "manifest.json"
    manifest.write_bytes(hostile())
    assert repository.manifest(BACKUP).memory_id == "i"
    manifest.write_bytes(data)
    with pytest.raises((CorruptionError, IncompatibleError), match=said) as caught:
        repository.manifest(BACKUP)
    assert caught.value.path == str(manifest)
    listing = repository.listing()
    assert [one.backup for one in listing.backups] == [whole.backup]
    assert len(listing.damaged) == 1
    assert repository.manifest() == whole


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 201, "a b", "é", "a\n"])
def test_a_memory_has_a_name_that_stays_in_its_folder(tmp_path: Path, name: str):
    """A name that is a path, or hidden, or not of plain characters is refused."""
    with pytest.raises(BadInputError, match="memory"):
        BackupRepository(BackupPlace(str(tmp_path)), name)


@pytest.mark.parametrize("backup", ["", "..", "../../x", "20990101T000000.000000Z-0000000g"])
def test_a_backup_is_asked_for_by_an_id(tmp_path: Path, backup: str):
    """What is no id is refused before anything is read."""
    with pytest.raises(BadInputError, match="backup"):
        BackupRepository(BackupPlace(str(tmp_path)), "m").manifest(backup)


def test_places_that_cannot_be_used_are_refused(tmp_path: Path):
    """An unknown scheme and a secret in a URI are told; a path means the same to all processes."""
    with pytest.raises(BadInputError, match="uri: nope://x cannot be used"):
        BackupPlace("nope://x")
    with pytest.raises(BadInputError, match="must not hold a secret"):
        BackupPlace("s3://me:hidden@bucket/x")
    with pytest.raises(BadInputError, match="uri"):
        absolute_uri("")
    assert Path(absolute_uri("here")).is_absolute()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    """Where a file is in the way, the message has the place, and nothing is left."""
    (tmp_path / "b").write_text("a file")
    with pytest.raises(UnavailableError, match=f"{tmp_path}/b"):
        BackupRepository(BackupPlace(str(tmp_path / "b")), "m").begin("i")


def test_another_memory_of_the_name_is_refused(tmp_path: Path):
    """Backups of two memories that share a name do not mix."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    back_up(repository, {"000001.sst": b"x"}, "first")
    with pytest.raises(BadInputError, match="another memory of this name"):
        repository.begin("second")
    back_up(BackupRepository(repository.place, "m2"), {"000001.sst": b"x"}, "second")


class Failing:
    """A file system whose next writes fail, or which is full."""

    def __init__(self, files: Any, error: OSError) -> None:
        self._files = files
        self.error: OSError | None = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def move(self, *arguments: Any) -> None:
        if self.error is not None:
            raise self.error
        self._files.move(*arguments)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(OSError(28, "No space left on device"), StorageFullError), (OSError("x"), UnavailableError)],
)
def test_a_file_system_that_fails_leaves_no_backup(
    tmp_path: Path, error: OSError, kind: type[Exception]
):
    """A write that fails is told as what it is; the next backup goes through."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    back_up(repository, {"000001.sst": b"before"})
    failing = Failing(repository.place._files, error)
    repository.place._files = failing
    with pytest.raises(kind):
        back_up(repository, {"000001.sst": b"after"})
    assert len(repository.listing().backups) == 1
    assert not list((tmp_path / "b").rglob(f"*{places.UNFINISHED}*"))
    failing.error = None
    back_up(repository, {"000001.sst": b"after"})
    assert len(repository.listing().backups) == 2


def test_a_deletion_waits_for_backups_that_are_made(tmp_path: Path):
    """While a backup is being made nothing goes; a mark of a day ago is of somebody killed."""
    now = [1_700_000_000_000_000_000]
    place = BackupPlace(str(tmp_path / "b"))
    repository = BackupRepository(place, "m", clock=lambda: now[0])
    for content in (b"1", b"2", b"3"):
        back_up(repository, {"000001.sst": content})
        now[0] += 1_000_000_000
    killed = repository.begin("i")
    assert repository.listing().unfinished == [killed]
    put_off = remove_all_but(repository, 1)
    assert (put_off.backups, put_off.put_off) == ([], f"backup {killed} is being made")
    assert len(repository.listing().backups) == 3
    now[0] += STALE_NS + 1
    removal = remove_all_but(repository, 2)
    assert (len(removal.backups), removal.files, removal.freed_bytes) == (1, 1, 1)
    assert repository.listing().unfinished == []


def test_a_backup_waits_for_a_deletion(tmp_path: Path):
    """While old backups are being deleted a backup is not begun."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    mark = repository.marks.leave("deletion")
    with pytest.raises(UnavailableError, match="are being deleted"):
        repository.begin("i", wait_s=0)
    assert repository.marks.of("backup") == []
    assert remove_all_but(repository, 1).put_off == "another deletion goes on"
    repository.marks.take_away("deletion", mark)
    repository.begin("i", wait_s=0)


def test_files_stay_while_a_manifest_cannot_be_read(tmp_path: Path):
    """Nobody knows what a damaged manifest needs, so no file goes while there is one."""
    repository = BackupRepository(BackupPlace(str(tmp_path / "b")), "m")
    first = back_up(repository, {"000001.sst": b"1"})
    second = back_up(repository, {"000001.sst": b"2"})
    third = back_up(repository, {"000001.sst": b"3"})
    manifest = tmp_path / "b" / "m" / second.backup / "manifest.json"
    data = manifest.read_bytes()
    manifest.write_bytes(data[:-9])
    removal = remove_all_but(repository, 1)
    assert removal.backups == [first.backup]
    assert removal.put_off is not None
    assert len(list((tmp_path / "b").rglob("tables/*"))) == 3
    manifest.write_bytes(data)
    assert remove_all_but(repository, 1).files == 2
    assert repository.manifest() == third


class RepositoryMachine(RuleBasedStateMachine):
    """Backups, kills and deletions against a plain dict of what each whole backup holds."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self._made = tempfile.TemporaryDirectory()
        self.folder = Path(self._made.name)
        self.now = 1_700_000_000_000_000_000
        place = BackupPlace(str(self.folder / "b"))
        self.repository = BackupRepository(place, "m", clock=self._clock)
        self.model: dict[str, dict[str, bytes]] = {}

    def _clock(self) -> int:
        self.now += 1_000_000
        return self.now

    files = st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=3), min_size=1)

    @rule(files=files)
    def back_up(self, files: dict[str, bytes]) -> None:
        manifest = back_up(self.repository, files)
        self.model[manifest.backup] = files

    @rule(files=files, added=st.integers(0, 3))
    def killed(self, files: dict[str, bytes], added: int) -> None:
        """Somebody is killed after some files; the mark stays a day."""
        self.repository.begin("i")
        for name, content in list(files.items())[:added]:
            self.repository.add(stored(name, content), [content])
        self.now += STALE_NS + 1

    @rule(keep=st.integers(1, 3))
    def delete(self, keep: int) -> None:
        removal = remove_all_but(self.repository, keep)
        gone = list(self.model)[:-keep]
        assert removal.backups == gone
        for backup in gone:
            del self.model[backup]
        contents = {content for files in self.model.values() for content in files.values()}
        kept = {path.read_bytes() for path in (self.folder / "b").rglob("tables/*")}
        assert kept == contents

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        backup = data.draw(st.sampled_from(list(self.model)))
        manifest = self.repository.manifest(backup)
        assert fetched(self.repository, manifest, self.folder) == self.model[backup]

    @invariant()
    def lists_what_is_whole(self) -> None:
        listing = self.repository.listing()
        assert [one.backup for one in listing.backups] == list(self.model)
        assert (listing.damaged, listing.unfinished) == ([], [])

    def teardown(self) -> None:
        self._made.cleanup()


TestRepositoryMachine = RepositoryMachine.TestCase
TestRepositoryMachine.settings = settings(max_examples=15, stateful_step_count=15)


@pytest.fixture(autouse=True)
def _clean_memory_file_system() -> Iterator[None]:
    """fsspec's memory file system is one for the process."""
    yield
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
