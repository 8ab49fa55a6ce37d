"""What `up` needs before anything runs: its API token."""

from pathlib import Path

from replicator.up import make_token


def test_the_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = make_token(tmp_path / "data")
    text = path.read_text()

    assert make_token(tmp_path / "data").read_text() == text
    assert len(text.strip()) > 40
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_token_file_is_filled(tmp_path: Path) -> None:
    (tmp_path / "api-token").touch()

    path = make_token(tmp_path)

    assert len(path.read_text().strip()) > 40
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_token_that_was_begun_and_never_finished_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "api-token.new").write_text("half a tok")
    (tmp_path / "api-token.new").chmod(0o644)

    path = make_token(tmp_path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert "half" not in path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["api-token"]
