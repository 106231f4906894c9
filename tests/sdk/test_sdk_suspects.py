"""Which event killed a process (spec 4.30)."""

from pathlib import Path

import pytest

from flowc.suspects import CAUTIOUS_ROWS_MAX, Suspects


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def test_the_first_process_is_not_cautious_and_a_clean_end_leaves_nothing(file: Path) -> None:
    for _ in range(3):
        first = Suspects(file)
        assert not first.cautious
        first.close()


def test_after_three_deaths_at_one_event_it_is_condemned(file: Path) -> None:
    Suspects(file)  # dies at nobody knows what
    for _ in range(2):
        next_ = Suspects(file)
        assert next_.cautious
        assert not next_.condemned(7)
        next_.enter(6)
        next_.leave()
        next_.enter(7)  # and dies
    last = Suspects(file)
    assert last.condemned(7)
    assert not last.condemned(6)


def test_deaths_at_other_events_are_chance(file: Path) -> None:
    Suspects(file)
    for offset in (3, 4, 5, 6):
        process = Suspects(file)
        assert not process.condemned(offset)
        process.enter(offset)
    assert not any(Suspects(file).condemned(o) for o in range(10))


def test_a_death_between_events_is_nobodys(file: Path) -> None:
    Suspects(file)
    Suspects(file).enter(7)
    between = Suspects(file)
    between.enter(1)
    between.leave()  # and dies
    assert not Suspects(file).condemned(7)
    third = Suspects(file)
    third.enter(7)
    assert Suspects(file).condemned(7)


def test_caution_ends(file: Path) -> None:
    Suspects(file)
    process = Suspects(file)
    for offset in range(CAUTIOUS_ROWS_MAX):
        process.enter(offset)
        process.leave()
    assert not process.cautious


def test_a_file_of_another_size_is_begun_anew(file: Path) -> None:
    file.write_bytes(b"x" * 5)
    assert not Suspects(file).cautious
