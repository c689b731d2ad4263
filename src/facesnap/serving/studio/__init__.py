"""The web studio: one page for people who look rather than read. Gradio is imported when it is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI

    from facesnap.serving.config import ServeConfig
    from facesnap.serving.service import Service


def build(service: Service, config: ServeConfig) -> gr.Blocks:
    """The studio as Gradio's Blocks; :func:`mount` serves them.

    Raises:
        MissingExtraError: Gradio isn't installed.
        OutputError: the data folder can't be written.
    """
    from facesnap.serving.studio.serve import check_gradio

    check_gradio()
    from facesnap.serving.studio.page import page

    return page(service, config)


def mount(app: FastAPI, service: Service, config: ServeConfig, path: str = "/") -> FastAPI:
    """Put the studio into an app, with its looks and without all that Gradio would show or send beside it.

    Routes that are added to ``app`` before have precedence. Raises as :func:`build`.
    """
    from facesnap.serving.studio.serve import check_gradio, options

    check_gradio()
    import gradio as gr
    from starlette.routing import Mount

    from facesnap.serving import problems

    mounted: FastAPI = gr.mount_gradio_app(app, build(service, config), path, **options(config))
    gradios = next(route.app for route in reversed(mounted.routes) if isinstance(route, Mount))
    problems.install_beside(cast("FastAPI", gradios), "/gradio_api/")
    return mounted
