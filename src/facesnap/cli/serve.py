"""``facesnap serve``: the studio and the REST service."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from facesnap.cli import console, options
from facesnap.core.errors import InputError, UsageError, one_line
from facesnap.core.lazy import require_all

if TYPE_CHECKING:
    from facesnap.serving.config import ServeConfig

_ACCESS = "Who may come in"
_CLUSTER = "More than one process or machine"
_EXTRAS: Final = {"fastapi": "serve", "uvicorn": "serve", "python_multipart": "serve", "prometheus_client": "serve"}


def serve(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="TOML", help="File of settings; options given here count before it."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", rich_help_panel=_ACCESS, help="Address to listen at (127.0.0.1); others need a token."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port (7860); 0 takes a free one.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="FACESNAP_TOKEN",
            rich_help_panel=_ACCESS,
            help="What clients must show. Better given by the variable: other users of a machine see options.",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(
            "--name", metavar="HOST", rich_help_panel=_ACCESS, help="A host name it is reached by, such as a proxy's."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of identities and results (~/.local/share/facesnap/serve).")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", rich_help_panel=options.MODEL, help="As for generate.")] = None,
    adapter: options.Adapter = None,
    device: Annotated[
        str | None, typer.Option("--device", rich_help_panel=options.MODEL, help="auto, cpu, cuda or mps.")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", rich_help_panel=options.MODEL, help="auto, float32, bfloat16 or float16."),
    ] = None,
    ui: Annotated[bool | None, typer.Option("--ui/--no-ui", help="The studio beside the API (served).")] = None,
    watermark: Annotated[
        bool | None, typer.Option("--watermark/--no-watermark", help="The invisible mark in pictures (set).")
    ] = None,
    safety_checker: Annotated[
        bool | None,
        typer.Option("--safety-checker/--no-safety-checker", help="Let the base's own checker judge every picture."),
    ] = None,
    browser: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open the studio in a browser (if there is a screen).")
    ] = None,
    log_requests: Annotated[bool, typer.Option("--log-requests", help="A line on stderr for every request.")] = False,
    ray: Annotated[
        bool, typer.Option("--ray", rich_help_panel=_CLUSTER, help="Let replicas of a Ray cluster paint.")
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="HOST:PORT",
            rich_help_panel=_CLUSTER,
            help="The cluster this machine is a node of, or auto; without it, one is started here.",
        ),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", min=1, rich_help_panel=_CLUSTER, help="Replicas that paint (1).")
    ] = None,
) -> None:
    """Serve the studio (a web page) and the REST API (its reference is at /docs), until Ctrl+C or SIGTERM."""
    require_all(_EXTRAS)
    said = {"host": host, "port": port, "token": token, "data": data, "base": base, "adapter": adapter}
    said |= {"device": device, "dtype": dtype, "ui": ui, "watermark": watermark, "safety_checker": safety_checker}
    settings = _settings(config, _given(said), _given({"address": ray_address, "replicas": replicas}), ray)
    options.check_model(settings.base, settings.adapter)
    console.check_folder(settings.data, "--data")
    if log_requests:
        _log_requests()
    _serve(settings, name or [], browser)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _settings(
    file: Path | None, said: dict[str, Any], cluster: dict[str, Any] | None = None, ray: bool = False
) -> ServeConfig:
    """The settings of a file, with what the options say put over them; any of a cluster's asks for one."""
    from facesnap.serving.config import ServeConfig

    values = {**({} if file is None else _read(file)), **said}
    if cluster or ray:
        in_file = values.get("ray", {})
        values["ray"] = {**in_file, **(cluster or {})} if isinstance(in_file, dict) else in_file
    return ServeConfig.of(values)


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {file}: {one_line(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"--config {file}: {one_line(error)}") from None


def _serve(config: ServeConfig, names: list[str], browser: bool | None) -> None:
    from importlib.util import find_spec

    from facesnap.serving.api import create_app
    from facesnap.serving.ray_start import painter_of
    from facesnap.serving.server import Server, listen, url_of
    from facesnap.serving.service import Service

    bound = listen(config.host, config.port)
    with bound:
        config = config.model_copy(update={"port": bound.getsockname()[1]})
        if config.ui and find_spec("gradio") is None:
            console.note('no studio, only the API: pip install "facesnap[ui]" brings it')
            config = config.model_copy(update={"ui": False})
        if config.ray is not None:
            where = "" if config.ray.address is None else f" (the cluster at {config.ray.address})"
            console.say(f"starting Ray{where} ... it takes a while; requests that need a model wait for it")
        app = create_app(Service(config, painter_of(config)), config, names)
        server = Server(app, config)
        print(f"FaceSnap is at {url_of(config)} (Ctrl+C stops it)", flush=True)
        if config.ui and (_has_screen() if browser is None else browser):
            _open(url_of(config))
        server.run(sockets=[bound])
    if app.state.desk.failure is not None:
        raise app.state.desk.failure


def _has_screen() -> bool:
    named = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.stdout.isatty() and (bool(named) or sys.platform in ("darwin", "win32"))


def _open(url: str) -> None:
    """Open a browser once the socket answers: connections wait in its backlog until then."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _log_requests() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    requests = logging.getLogger("facesnap.serving.metrics")
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
