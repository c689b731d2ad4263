"""From the button to the picture: progress, cancelling, and looking at what was made."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from anyio import CapacityLimiter, to_thread

from facesnap.serving.config import ServeConfig
from facesnap.serving.requests import GenerationRequest, JobState, JobStatus
from facesnap.serving.service import Service
from facesnap.serving.studio import shelf, showing, words
from facesnap.serving.studio.asking import WISHED, Wish
from facesnap.serving.studio.attempt import attempt, line_of, sentence, warn
from facesnap.serving.studio.posing import Posing, side_lengths
from facesnap.serving.studio.visit import Visit

Updates = dict[Any, Any]

#: How long one wait for news lasts, in seconds; the place in the queue is told anew after each.
WAIT = 1.0


@dataclass(frozen=True)
class Stage:
    """The stage's components."""

    status: gr.HTML
    empty: gr.HTML
    forming: gr.HTML
    gallery: gr.Gallery
    details: gr.HTML
    actions: gr.Row
    download: gr.DownloadButton
    use: gr.Button
    compare: gr.Button
    same: gr.Button
    delete: gr.Button
    clear: gr.Button
    generate: gr.Button
    cancel: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """All that :class:`Making` changes."""
        return [
            *(self.status, self.empty, self.forming, self.gallery, self.details, self.actions),
            *(self.download, self.generate, self.cancel),
        ]


def stage() -> Stage:
    """Lay out the stage: large the picture, under it the one button, and what made the picture."""
    empty = gr.HTML(showing.empty_stage(), js_on_load=None, elem_id="empty")
    forming = gr.HTML("", js_on_load=None, visible=False, elem_id="forming")
    gallery = gr.Gallery(
        label=words.RESULTS,
        visible=False,
        preview=True,
        interactive=False,
        object_fit="contain",
        height=560,
        columns=4,
        buttons=["fullscreen"],
        elem_id="results",
    )
    with gr.Row(elem_classes="fs-bar-row", elem_id="action-bar"):
        status = gr.HTML(showing.line(words.IDLE), js_on_load=None, elem_id="status")
        cancel = gr.Button(words.CANCEL, visible=False, min_width=0, scale=0, elem_id="cancel")
        generate = gr.Button(words.GENERATE, variant="primary", min_width=0, scale=0, elem_id="generate")
    with gr.Row(visible=False, elem_classes="fs-buttons") as actions:
        download = gr.DownloadButton(words.DOWNLOAD, size="sm", elem_id="download")
        use = gr.Button(words.USE, size="sm", elem_id="use")
        compare = gr.Button(words.COMPARE_THIS, size="sm", elem_id="compare-this")
        same = gr.Button(words.SAME_SEED, size="sm", elem_id="same-seed")
        delete = gr.Button(words.DELETE, size="sm", elem_id="delete")
        clear = gr.Button(words.CLEAR, size="sm", elem_id="clear")
    details = gr.HTML("", js_on_load=None, elem_id="details")
    buttons = {"use": use, "compare": compare, "same": same, "delete": delete, "clear": clear}
    return Stage(
        status, empty, forming, gallery, details, actions, download, **buttons, generate=generate, cancel=cancel
    )


class Making:
    """What the stage's events do."""

    def __init__(self, service: Service, config: ServeConfig, parts: Stage, posing: Posing) -> None:
        self.service, self.config, self.stage, self.posing = service, config, parts, posing
        # Every waiting tab holds a thread for a moment; with the threads of its own, waiting never keeps sliders back.
        self.waiting = CapacityLimiter(config.limits.queue + 8)

    async def generate(self, visit: Visit, consent: bool, *values: Any) -> AsyncIterator[Updates]:
        """Ask for pictures and show them as they come. ``values``: of ``Asking.inputs``, then the head's sliders."""
        wish, head = Wish(*values[: len(WISHED)]), values[len(WISHED) :]
        if visit.job:
            yield {self.stage.status: gr.skip()}
            return
        if missing := _missing(visit, consent, wish):
            warn(missing)
            yield {self.stage.status: showing.line(missing, "bad")}
            return
        yield self._busy(words.SENDING, None, 0.0)
        wanted = partial(self._request, visit, wish, head)
        job, problem = await self._thread(attempt, lambda: self.service.submit(wanted(), visit.client))
        if job is None:
            warn(problem)
            yield self._idle(visit, showing.line(problem, "bad"))
            return
        async for updates in self._follow(visit, job.id):
            yield updates

    async def resume(self, visit: Visit) -> AsyncIterator[Updates]:
        """Show what the tab made before its page was loaded anew, and follow the job that is under way."""
        newest, problem = await self._thread(attempt, partial(shelf.restore, self.service, visit))
        if newest is not None and not newest.state.final:
            async for updates in self._follow(visit, newest.id):
                yield updates
        elif newest is not None and newest.state in (JobState.failed, JobState.interrupted):
            yield self._idle(visit, _ending(newest))
        elif visit.shots or problem:
            yield self._idle(visit, showing.line(problem, "bad") if problem else showing.line(words.BACK))
        else:  # Gradio empties the outputs of what yields nothing
            yield {self.stage.status: gr.skip()}

    async def _follow(self, visit: Visit, job: str) -> AsyncIterator[Updates]:
        """Show a job to its end."""
        visit.job, started = job, time.monotonic()
        try:
            async for updates in self._watch(job):
                yield updates
            yield await self._thread(self._finished, visit, job, time.monotonic() - started)
        except Exception as error:
            yield self._idle(visit, showing.line(line_of(error), "bad"))
        finally:  # also when the tab was closed meanwhile
            visit.job = ""

    def settle(self, visit: Visit) -> Any:
        """The status line once the person has changed: what was missing may be there now."""
        if visit.job or visit.announced == visit.identity:
            return gr.skip()
        visit.announced = visit.identity
        return showing.line(words.IDLE if visit.identity else words.NO_PERSON)

    def cancelling(self, visit: Visit) -> Any:
        """Say that the job will stop; before :meth:`cancel`, so that the job's own end is the last word."""
        return showing.line(words.CANCELLING, "busy") if visit.job else gr.skip()

    def cancel(self, visit: Visit) -> None:
        """Stop the job before its next step."""
        if visit.job:
            attempt(partial(self.service.cancel, visit.job))

    def delete(self, visit: Visit) -> Updates:
        """Delete the picture that is looked at."""
        gone, problem = attempt(partial(shelf.delete, self.service, visit))
        text = words.DELETED.format(pictures=words.pictures(gone or 0))
        return self._idle(visit, showing.line(problem, "bad") if problem else showing.line(text))

    def clear(self, visit: Visit) -> Updates:
        """Delete all pictures of this visit."""
        _, problem = attempt(partial(shelf.clear, self.service, visit))
        return self._idle(visit, showing.line(problem, "bad") if problem else showing.line(words.CLEARED))

    def select(self, visit: Visit, event: gr.SelectData) -> Updates:
        """Another picture is looked at."""
        visit.selected = int(event.index)
        return self._looked_at(visit)

    async def _watch(self, job: str) -> AsyncIterator[Updates]:
        """Progress until the job has its final state."""
        seq, preview = 0, None
        while True:
            news = await self._thread(self.service.wait, job, seq, WAIT)
            if not news:
                status = await self._thread(self.service.job, job)
                if status.state.final:
                    return
                if status.state is JobState.queued:
                    yield self._busy(_place(status), None, 0.0)
                continue
            last = news[-1]
            seq = last["seq"]
            preview = next((each["preview"] for each in reversed(news) if each["preview"]), preview)
            state = JobState(last["state"])
            if state.final:
                return
            if state is JobState.queued:
                yield self._busy(_place(await self._thread(self.service.job, job)), None, 0.0)
            else:
                yield self._busy(*_progress(last["step"], last["steps"], preview))

    def _finished(self, visit: Visit, job: str, seconds: float) -> Updates:
        status = self.service.job(job)
        if status.state is JobState.done:
            shelf.collect(self.service, visit, status)
            text = words.DONE.format(seconds=words.seconds(seconds), pictures=words.pictures(status.pictures))
            return self._idle(visit, showing.line(text, "good"))
        return self._idle(visit, _ending(status))

    def _request(self, visit: Visit, wish: Wish, head: tuple[float, ...]) -> GenerationRequest:
        width, height = side_lengths(wish.size)
        return GenerationRequest(
            identity=visit.identity,
            prompt=wish.prompt.strip(),
            negative_prompt=wish.negative.strip(),
            pose=self.posing.pose(visit, head),
            model=wish.model,
            num_images=int(wish.count),
            num_inference_steps=int(wish.steps),
            guidance_scale=wish.guidance,
            seed=wish.seed_now(),
            width=width,
            height=height,
            identity_scale=wish.identity_scale,
            landmark_scale=wish.landmark_scale,
            speed=wish.speed,
        )

    def _busy(self, text: str, preview: str | None, share: float) -> Updates:
        return {
            self.stage.status: showing.line(text, "busy"),
            self.stage.empty: gr.HTML(visible=False),
            self.stage.forming: gr.HTML(showing.forming(preview, text, share), visible=True),
            self.stage.gallery: gr.Gallery(visible=False),
            self.stage.details: "",
            self.stage.actions: gr.Row(visible=False),
            self.stage.generate: gr.Button(interactive=False),
            self.stage.cancel: gr.Button(visible=True),
        }

    def _idle(self, visit: Visit, status: str) -> Updates:
        there = bool(visit.shots)
        captioned = [(shot.path, f"seed {shot.seed}") for shot in visit.shots]
        return {
            self.stage.status: status,
            self.stage.empty: gr.HTML(visible=not there),
            self.stage.forming: gr.HTML("", visible=False),
            self.stage.gallery: gr.Gallery(captioned, visible=there, selected_index=visit.selected if there else None),
            self.stage.generate: gr.Button(interactive=True),
            self.stage.cancel: gr.Button(visible=False),
            **self._looked_at(visit),
        }

    def _looked_at(self, visit: Visit) -> Updates:
        shot = visit.shot
        return {
            self.stage.details: showing.details(shot) if shot else "",
            self.stage.actions: gr.Row(visible=shot is not None),
            self.stage.download: gr.DownloadButton(value=shot.path if shot else None),
        }

    async def _thread(self, work: Any, *args: Any) -> Any:
        return await to_thread.run_sync(partial(work, *args), limiter=self.waiting)


def _missing(visit: Visit, consent: bool, wish: Wish) -> str:
    """What must be there before anything can be made."""
    if not visit.key:
        return words.STALE
    if not visit.identity:
        return words.NO_CONSENT if visit.photos and not consent else words.NO_PERSON
    return "" if wish.prompt.strip() else words.NO_PROMPT


def _ending(status: JobStatus) -> str:
    """The status line for a job that made nothing."""
    lines = {
        JobState.cancelled: (words.CANCELLED, "calm"),
        JobState.interrupted: (status.error or words.INTERRUPTED, "bad"),
    }
    text, kind = lines.get(status.state, (status.error or words.INTERNAL, "bad"))
    return showing.line(sentence(text), kind)


def _place(status: JobStatus) -> str:
    return words.QUEUED.format(before=status.position) if status.position else words.QUEUED_NEXT


def _progress(step: int, steps: int, preview: str | None) -> tuple[str, str | None, float]:
    if not step or not steps:
        return words.STARTING, preview, 0.0
    text = words.FINISHING if step >= steps else words.STEP.format(step=step, steps=steps)
    return text, preview, step / steps
