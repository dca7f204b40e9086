"""The command `serve`: a model as a page and an API that others ask."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.cli.app import Engine, Precision, app
from pellucid.errors import UsageError


@app.command()
def serve(
    models: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]MODEL…", help="Bundles, their .zip, or runs."),
    ],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 8000,
    operating_point: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Decide at this one of the models' operating points."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answer only who says this token (or PELLUCID_TOKEN)."),
    ] = None,
    called: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A host name by which it is called; repeatable."),
    ] = None,
    engine: Engine = "auto",
    precision: Precision = "float32",
    page: Annotated[bool, typer.Option(help="Serve the page, or the API alone.")] = True,
    max_body: Annotated[int, typer.Option(min=1, help="MiB that a request may have.")] = 64,
) -> None:
    """A page and an API that answer for a model, until stopped with ctrl-C."""
    from pellucid.serving.server import read_token
    from pellucid.serving.server import serve as listen
    from pellucid.serving.settings import MEGABYTE, Settings

    token = read_token(token_file)
    is_local = host in ("127.0.0.1", "localhost", "::1")
    if not is_local and token is None:
        raise UsageError(
            "A server that others can reach answers only who says a token",
            f"--host {host} without one",
            "Add --token-file FILE; make one with: openssl rand -hex 32",
        )
    hosts = (*Settings().hosts, host, *(called or ()))
    settings = Settings(
        token=token,
        hosts=("*",) if host in ("0.0.0.0", "::") and not called else hosts,  # noqa: S104
        max_body=max_body * MEGABYTE,
        max_bodies=max(8, 512 // max_body) * max_body * MEGABYTE,
    )
    listen(
        models,
        host=host,
        port=port,
        settings=settings,
        engine=engine,
        precision=precision,
        operating_point=operating_point,
        extend=_page if page else None,
    )


def _page(api: Any, desk: Any) -> None:
    from pellucid.page.routes import add_page

    add_page(api, desk)
