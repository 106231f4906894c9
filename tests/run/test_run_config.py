"""`flow.toml`: what is read, and how each fault is told."""

from pathlib import Path

import pytest

from flowc_dsl.thresholds import Thresholds
from flowc_engine.config import Config, ConfigError, SourceConfig, load_config, parse_config
from support.plans import pipeline

PATH = Path("flow.toml")


def test_sources_are_read() -> None:
    text = '[sources.feed]\npython = "app.sources:feed"\nargs = { month = 1 }\nemits = ["Placed"]\n'
    expected = SourceConfig("feed", "app.sources:feed", {"month": 1}, ("Placed",))
    config = parse_config(text, PATH)
    assert config.sources == (expected,)
    config.check_against(pipeline())


def test_thresholds_are_read_and_the_others_keep_their_defaults() -> None:
    config = parse_config("[thresholds]\nhub_types = 30\nutilisation = 1\n", PATH)
    assert config.thresholds == Thresholds(hub_types=30, utilisation=1.0)
    assert parse_config("", PATH).thresholds == Thresholds()


def test_no_file_is_an_empty_configuration(tmp_path: Path) -> None:
    assert load_config(tmp_path) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sources.a]\npyhton = 'm:f'\n", "unknown key `pyhton`; did you mean `python`?"),
        ("\n[sauces.a]\n", "flow.toml:2: unknown key `sauces`; did you mean `sources`?"),
        ("[sources.a]\n", "flow.toml:1: source 'a': `python = \"module:function\"` is missing"),
        ("[sources.a]\npython = 'm'\n", "flow.toml:2: source 'a': `python` is \"module"),
        ("[sources.a]\npython = 'm:f'\nargs = 3\n", "flow.toml:3: source 'a': `args` is a table"),
        ("[sources.a]\npython = 'm:f'\nemits = 'E'\n", "flow.toml:3: source 'a': `emits` is a"),
        ("[sources.'a b']\npython = 'm:f'\n", "source 'a b': a name is letters, digits and `_`"),
        ("sources = 1\n", "flow.toml:1: `sources` is no table"),
        ("x = \n", "flow.toml:1: invalid value"),
        ("thresholds = 1\n", "flow.toml:1: `thresholds` is no table"),
        ("[thresholds]\nhub_type = 3\n", ":2: unknown threshold `hub_type`; did you mean"),
        ("[thresholds]\nhub_types = 0\n", "flow.toml:2: `hub_types` is a whole number from 1"),
        ("[thresholds]\nhub_types = true\n", "flow.toml:2: `hub_types` is a whole number"),
        ("[thresholds]\nutilisation = 80\n", "is a number over 0 and up to 1, not 80"),
        ("[thresholds]\nutilisation = nan\n", "`utilisation` is a number over 0"),
    ],
)  # fmt: skip
def test_faults_say_where_and_what(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text, PATH)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("Placd", "flow.toml:3: source 'a': there is no event Placd; did you mean `Placed`?"),
        ("Paid", "flow.toml:3: source 'a': Paid is not declared `external`"),
    ],
)
def test_sources_emit_external_events_only(event: str, message: str) -> None:
    config = parse_config(f"[sources.a]\npython = 'm:f'\nemits = ['{event}']\n", PATH)
    with pytest.raises(ConfigError) as error:
        config.check_against(pipeline())
    assert message in str(error.value)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "flow.toml").write_bytes(b"\n\xff")
    with pytest.raises(ConfigError, match=r"flow\.toml:2: not UTF-8"):
        load_config(tmp_path)
