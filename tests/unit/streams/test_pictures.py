"""Pictures are read only from where they may be, within limits, and come out in one size."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from contracts.settings import CatalogSettings
from streams.pictures import PictureLoader, PictureRefused, PictureUnavailable

SIDE = 16


def png(width: int, height: int, mode: str = "RGB", colour: tuple[int, ...] = (200, 10, 10)) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), colour).save(out, "PNG")
    return out.getvalue()


def data(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


class Host(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, kind, body = {
            "/good.png": (200, "image/png", png(20, 30)),
            "/page.html": (200, "text/html", b"<html>"),
            "/moved": (302, "image/png", b""),
            "/broken": (500, "image/png", b""),
            "/large": (200, "image/png", b"x" * 60_000),
        }.get(self.path, (404, "text/plain", b""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "http://127.0.0.1:1/secret")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def host() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[PictureLoader]:
    (tmp_path / "allowed").mkdir()
    settings = CatalogSettings(
        image_size=SIDE,
        image_max_bytes=50_000,
        image_roots=(tmp_path / "allowed",),
        image_hosts=("127.0.0.1",),
        image_timeout_seconds=1,
    )
    made = PictureLoader(settings)
    yield made
    made.close()


def test_a_data_uri_comes_out_in_the_size_of_the_model(loader: PictureLoader) -> None:
    pixels = loader.load(data(png(40, 90)))
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == (200, 10, 10)).all()


def test_a_picture_of_the_right_size_is_not_touched(loader: PictureLoader) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    assert np.array_equal(loader.load(data(out.getvalue())), noise)


def test_what_is_transparent_is_white(loader: PictureLoader) -> None:
    assert (loader.load(data(png(20, 20, "RGBA", (0, 0, 0, 0)))) == 255).all()


def test_a_file_under_an_allowed_folder_is_read_and_no_other(loader: PictureLoader, tmp_path: Path) -> None:
    good, bad = tmp_path / "allowed" / "good one.png", tmp_path / "bad.png"
    for path in (good, bad):
        path.write_bytes(png(20, 20))
    assert loader.load(good.as_uri()).shape == (SIDE, SIDE, 3)
    (tmp_path / "allowed" / "link.png").symlink_to(bad)
    for uri in (
        bad.as_uri(),
        f"file://{tmp_path}/allowed/../bad.png",
        f"file://{tmp_path}/allowed/link.png",
        f"file://elsewhere{good}",
    ):
        with pytest.raises(PictureRefused, match="outside of the allowed folders"):
            loader.load(uri)
    for uri in ((tmp_path / "allowed" / "none.png").as_uri(), (tmp_path / "allowed").as_uri()):
        with pytest.raises(PictureRefused):
            loader.load(uri)


def test_an_allowed_host_is_asked_and_no_other(loader: PictureLoader, host: str) -> None:
    assert loader.load(f"{host}/good.png").shape == (SIDE, SIDE, 3)
    with pytest.raises(PictureRefused, match="'localhost' is not allowed"):
        loader.load(f"{host}/good.png".replace("127.0.0.1", "localhost"))


@pytest.mark.parametrize("path", ["/page.html", "/moved", "/none", "/large"])
def test_what_a_host_answers_instead_of_a_picture_is_refused(loader: PictureLoader, host: str, path: str) -> None:
    with pytest.raises(PictureRefused):
        loader.load(host + path)


def test_a_host_in_trouble_or_away_is_only_unavailable(loader: PictureLoader, host: str) -> None:
    for uri in (f"{host}/broken", "http://127.0.0.1:1/good.png"):
        with pytest.raises(PictureUnavailable):
            loader.load(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://127.0.0.1/x.png",
        "/etc/passwd",
        "",
        "data:image/png;base64,%%%",
        "data:image/png;base64",
        data(b"no picture"),
        data(png(20, 20)[:60]),
        data(b"\x89PNG\r\n" + b"x" * 60_000),
        data(b"GIF89a" + b"\xff" * 9),
        "http://[",
        "file://[x",
        "http://127.0.0.1:port/a.png",
    ],
)
def test_what_is_no_picture_is_refused(loader: PictureLoader, uri: str) -> None:
    with pytest.raises(PictureRefused):
        loader.load(uri)


def test_a_small_file_that_unpacks_to_a_giant_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    bomb = png(7000, 7000, "1", (0,))
    assert len(bomb) < 50_000
    with pytest.raises(PictureRefused, match="the limit is 40000000"):
        PictureLoader(CatalogSettings(image_size=SIDE, image_max_bytes=50_000)).load(data(bomb))
