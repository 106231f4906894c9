"""Which engine draws: Graphviz where it works, else flowc's own, and always the whole picture."""

import shutil
import sys
import time

import pytest

from flowc_dsl.draw.topology import topology_of
from flowc_dsl.draw.verify import undrawn
from flowc_engine.drawing import png
from flowc_engine.drawing.graphviz_dot import DotError
from flowc_engine.drawing.png import PngError
from flowc_engine.drawing.render import draw
from support import systems

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")


@pytest.fixture
def fake_dot(tmp_path, monkeypatch):
    """Put a `dot` of our own making first, or none at all, on the path."""

    def install(script):
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if script else str(tmp_path))
        if script:
            path = tmp_path / "dot"
            path.write_text(f"#!/bin/sh\n{script}\n")
            path.chmod(0o755)

    return install


def test_without_dot_flowc_draws_by_itself(fake_dot):
    fake_dot(None)
    topology = topology_of(systems.shop())
    drawing = draw(topology, "svg")
    assert drawing.engine == "flowc-layered"
    assert undrawn(topology, drawing.data.decode()) == ()
    with pytest.raises(DotError, match="no dot program"):
        draw(topology, "svg", "dot")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("cat > /dev/null; echo 'syntax error in line 1' >&2; exit 1", "syntax error in line 1"),
        ("cat > /dev/null", "wrote no picture"),
        (
            'cat > /dev/null; for o; do case $o in -o*) echo "<svg/>" > ${o#-o};; esac; done',
            "0 of 23",
        ),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_a_dot_that_fails_or_loses_edges_is_replaced(fake_dot, script, why):
    fake_dot(script)
    topology = topology_of(systems.shop())
    drawing = draw(topology, "svg")
    assert drawing.engine == "flowc-layered"
    assert why in drawing.why
    assert undrawn(topology, drawing.data.decode()) == ()


def test_a_dot_that_does_not_end_is_killed_with_its_children(fake_dot):
    fake_dot("sleep 60 & sleep 60")
    start = time.monotonic()
    drawing = draw(topology_of(systems.shop()), "svg", budget_ms=200)
    assert time.monotonic() - start < 10
    assert drawing.engine == "flowc-layered"
    assert "more than 0.2 s" in drawing.why


@needs_dot
@pytest.mark.parametrize("system", [systems.shop(), systems.airline(), systems.generated(25)])
def test_dot_draws_every_edge(system):
    topology = topology_of(system)
    drawing = draw(topology, "svg", "dot")
    assert drawing.engine.startswith("graphviz dot")
    assert undrawn(topology, drawing.data.decode()) == ()
    assert drawing.data == draw(topology, "svg").data


@needs_dot
def test_dot_makes_png():
    assert draw(topology_of(systems.shop()), "png", "dot").data.startswith(b"\x89PNG")


def test_png_of_the_layered_picture():
    if png.sans_serif() is None:
        with pytest.raises(PngError, match="fonts-dejavu-core"):
            draw(topology_of(systems.shop()), "png", "layered")
        return
    drawing = draw(topology_of(systems.shop()), "png", "layered")
    assert drawing.engine == "flowc-layered and resvg"
    assert drawing.data.startswith(b"\x89PNG")


def test_png_without_the_means_names_the_next_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)  # as if it were not installed
    with pytest.raises(PngError, match=r"pip install 'flowc\[png\]'"):
        draw(topology_of(systems.shop()), "png", "layered")
