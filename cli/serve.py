"""`usrn serve`: a page on this machine that segments photos with a trained run."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.options import mode_option, quiet_option
from usrn_cli.output import print_json


@click.command("serve", short_help="Segment photos in the browser, on this machine.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--max-megabytes",
    type=click.FloatRange(0, min_open=True),
    default=100,
    show_default=True,
    help="Size of the file of a photo, at most.",
)
@click.option(
    "--max-megapixels",
    type=click.FloatRange(0, min_open=True),
    default=50,
    show_default=True,
    help="Pixels of a photo, at most; the memory of a prediction grows with them.",
)
@mode_option
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the address and the classes as JSON.")
def command(
    run: Path,
    port: int,
    open_browser: bool,
    max_megabytes: float,
    max_megapixels: float,
    mode: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Serve a page on 127.0.0.1 that segments photos with the model of the run folder RUN.

    \b
    Examples:
      usrn serve runs/quickstart --open
      usrn serve runs/quickstart --port 0 --json

    Drop a photo on the page: it shows the classes, their shares and the confidence over the photo, and gives
    the mask as the PNG file that `usrn predict` writes. Photos are predicted one after the other, stay in
    memory, and are not kept; the page loads nothing from other sites, and only this machine reaches it.

    The address is printed when the page is ready. Ctrl-C ends the server.
    """
    from usrn_keras.serving.photo_server import PhotoServer
    from usrn_keras.serving.upload_limits import UploadLimits

    def log(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    # A port in use is reported before Keras is loaded.
    server = PhotoServer(port=port, limits=UploadLimits(max_megabytes, max_megapixels), log=log)
    try:
        load_backend()
        from usrn_keras.interrupts import accept_interrupt
        from usrn_keras.serving.photo_model import load_photo_model

        model = load_photo_model(run, mode=mode)
        if as_json:
            print_json({"url": server.url, "run": str(run), "classes": model.classes})
        else:
            click.echo(server.url)
        log("Ctrl-C ends the server.")
        if open_browser:
            _open(server.url, log)
        try:
            server.serve(model)
        except KeyboardInterrupt:
            accept_interrupt()
    finally:
        server.server_close()


def _open(url: str, log: Callable[[str], None]) -> None:
    """Open the page in a thread: browsers of a terminal do not return before they end."""

    def open_page() -> None:
        if not webbrowser.open(url):
            log(f"No browser was found; open {url} yourself.")

    threading.Thread(target=open_page, name="browser", daemon=True).start()
