"""Who is painted: photos in, the face on each, consent, identity files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

import facesnap
from facesnap.serving.config import ServeConfig
from facesnap.serving.requests import IdentityInfo
from facesnap.serving.service import Service
from facesnap.serving.studio import showing, words
from facesnap.serving.studio.attempt import attempt, inform
from facesnap.serving.studio.files import alone, keep, read
from facesnap.serving.studio.visit import Visit, hold, remove
from facesnap.serving.uploads import decode

#: Photos, the face chosen on each, and the model: what an identity is made from.
Wanted = tuple[tuple[str, ...], tuple[int, ...], str]
#: What components become, by component.
Updates = dict[Any, Any]


def example() -> Path | None:
    """The example photo of a source checkout; an installed package has none."""
    path = Path(facesnap.__file__).resolve().parents[2] / "examples" / "eileen_collins.jpg"
    return path if path.is_file() else None


@dataclass(frozen=True)
class Person:
    """The card's components. ``choices``: per photo a row, its numbered picture and the radio buttons."""

    photos: gr.Gallery
    consent: gr.Checkbox
    note: gr.HTML
    choices: list[tuple[gr.Column, gr.HTML, gr.Radio]]
    webcam: gr.Image
    take: gr.Button
    example: gr.Button
    load: gr.UploadButton
    save: gr.DownloadButton
    forget: gr.Button

    @property
    def faces(self) -> list[gr.Radio]:
        """The radio buttons alone."""
        return [radio for _, _, radio in self.choices]

    @property
    def outputs(self) -> list[Any]:
        """All that :class:`People` changes."""
        rows = [part for choice in self.choices for part in choice]
        return [self.photos, self.consent, self.note, *rows, self.webcam, self.take, self.save, self.forget]


def person_card(config: ServeConfig) -> Person:
    """Lay out the card."""
    gr.HTML(showing.heading(words.WHO, 1), js_on_load=None)
    note = gr.HTML(showing.line(words.WHO_EMPTY), js_on_load=None, elem_id="person-note")
    photos = gr.Gallery(
        label=words.PHOTOS,
        show_label=False,
        interactive=True,
        sources=["upload"],
        type="filepath",
        file_types=["image"],
        columns=4,
        height=124,
        object_fit="cover",
        allow_preview=False,
        buttons=[],
        elem_id="photos",
    )
    with gr.Row(elem_classes="fs-buttons"):
        take = gr.Button(words.WEBCAM, size="sm", elem_id="take")
        sample = gr.Button(words.EXAMPLE, size="sm", visible=example() is not None, elem_id="example")
        load = gr.UploadButton(words.LOAD_IDENTITY, size="sm", type="filepath", elem_id="load-identity")
    webcam = gr.Image(
        sources=["webcam"],
        type="filepath",
        image_mode=None,
        format="jpeg",
        label=words.WEBCAM_LABEL,
        visible=False,
        elem_id="webcam",
    )
    choices = []
    for number in range(1, config.limits.photos + 1):
        with gr.Column(visible=False, elem_classes="fs-faces") as row:
            picture = gr.HTML(js_on_load=None)
            radio = gr.Radio(
                [],
                label=words.MANY_FACES.format(photo=number, faces=2),
                elem_id=f"face-{number}",
                elem_classes="fs-chips",
            )
        choices.append((row, picture, radio))
    consent = gr.Checkbox(False, label=words.CONSENT, info=words.CONSENT_MEANS, elem_id="consent")
    with gr.Row(elem_classes="fs-buttons"):
        save = gr.DownloadButton(words.SAVE_IDENTITY, size="sm", visible=False, elem_id="save-identity")
        forget = gr.Button(words.FORGET, size="sm", visible=False, elem_id="forget")
    return Person(photos, consent, note, choices, webcam, take, sample, load, save, forget)


class People:
    """What the card's events do."""

    def __init__(self, service: Service, config: ServeConfig, card: Person) -> None:
        self.service, self.config, self.card = service, config, card
        # Consent may be given while a photo is still looked at: both events lead here, and one identity is enough.
        self.enrolling = threading.Lock()

    def look(self, visit: Visit, photos: list[tuple[str, str | None]] | None) -> Iterator[Updates]:
        """Photos came or went: find their faces, and ask which one where there are several."""
        paths = tuple(path for path, _ in photos or [])
        if paths == visit.photos:
            yield {self.card.note: gr.skip()}  # Gradio empties the outputs of what yields nothing
            return
        hold(set(paths) - set(visit.photos))
        remove(set(visit.photos) - set(paths))
        visit.photos = paths
        if paths:
            yield {self.card.note: showing.line(words.WHO_LOOKING, "busy")}
        problem = ""
        if len(paths) > self.config.limits.photos:
            problem = words.TOO_MANY_PHOTOS.format(photos=self.config.limits.photos)
        for path in paths[: self.config.limits.photos]:
            if path not in visit.faces and not problem:
                found, problem = attempt(lambda path=path: self.service.faces(read(path)))  # type: ignore[misc]
                visit.faces[path] = found or []
        visit.trouble = problem
        yield {**self._ask(visit), self.card.note: self._note(visit, problem)}

    def restore(self, visit: Visit) -> Updates:
        """The person that the tab had before its page was loaded anew; their photos aren't there any more."""
        known, _ = attempt(lambda: self.service.identities(visit.client)[:1])
        if not known or visit.photos or visit.identity:
            return {self.card.note: gr.skip()}
        _, problem = attempt(lambda: self._keep(visit, known[0]))  # it may expire just now
        visit.came_back = True
        return {self.card.consent: True, **self._state(visit, problem)}

    def choose(self, number: int, visit: Visit, face: str | None) -> None:
        """Another face of photo ``number``, from 0, is the person."""
        if face and number < len(visit.photos):
            visit.chosen[visit.photos[number]] = int(face.rsplit(" ", 1)[-1]) - 1

    def enroll(self, visit: Visit, consent: bool, model: str) -> Iterator[Updates]:
        """Make the identity as soon as there are photos and consent; without consent there is none."""
        problem = ""
        chosen = tuple(visit.chosen.get(path, 0) for path in visit.photos)
        wanted = (visit.photos, chosen, model)
        if not consent:
            visit.drop_identity(self.service)
        elif consent and visit.photos and visit.made_from != wanted:
            yield {self.card.note: showing.line(words.WHO_ENROLLING, "busy")}
            with self.enrolling:
                if visit.made_from != wanted:
                    problem = self._enroll(visit, consent, wanted)
        yield self._state(visit, problem or ("" if visit.identity else visit.trouble))

    def _enroll(self, visit: Visit, consent: bool, wanted: Wanted) -> str:
        """Replace the identity; says what is wrong."""
        visit.drop_identity(self.service)
        (photos, chosen, model), turn = wanted, visit.turn
        made, problem = attempt(lambda: self._enrolled(visit, photos, chosen, consent, model))
        if made and visit.turn != turn:  # forgotten meanwhile, or without consent
            attempt(lambda: self.service.delete_identity(made.id))
        elif made:
            visit.made_from = wanted
            self._keep(visit, made)
        return problem

    def load(self, visit: Visit, consent: bool, model: str, path: str | None) -> Updates:
        """A person from an identity file, in the place of photos."""
        if path is None:
            return self._state(visit, "")
        name = Path(path).name.removesuffix(".safetensors").removesuffix(".identity")[:80]
        data = read(path)
        Path(path).unlink(missing_ok=True)
        made, problem = attempt(
            lambda: self.service.import_identity(data, name=name, consent=consent, client=visit.client, model=model)
        )
        if made is None:
            return self._state(visit, problem if consent else words.NO_CONSENT)
        visit.forget(self.service)
        visit.made_from = None
        self._keep(visit, made)
        return {**self._ask(visit), self.card.photos: None, **self._state(visit, "")}

    def sample(self) -> list[str]:
        """The example photo."""
        path = example()
        return [keep(path.read_bytes(), path.name)] if path else []

    def forget(self, visit: Visit) -> Updates:
        """Delete identity and photos."""
        visit.forget(self.service)
        gone = gr.HTML(showing.line(words.WHO_GONE))
        cleared = {self.card.photos: None, self.card.consent: False, self.card.note: gone}
        return {**self._ask(visit), **self._state(visit, ""), **cleared}

    def snapped(self, photos: list[tuple[str, str | None]] | None, taken: str | None) -> Updates:
        """A photo from the camera joins the others."""
        if taken is None:
            return {self.card.note: gr.skip()}
        return {
            self.card.photos: [*(path for path, _ in photos or []), taken],
            self.card.webcam: gr.Image(value=None, visible=False),
            self.card.take: gr.Button(visible=True),
        }

    def camera(self) -> Updates:
        """Show the camera, and a way to close it again."""
        return {self.card.webcam: gr.Image(visible=True), self.card.take: gr.Button(visible=False)}

    def use(self, visit: Visit) -> list[Any]:
        """A portrait becomes the person's only photo."""
        shot = visit.shot
        if shot is None:
            return [gr.skip(), gr.skip()]
        inform(words.USED)
        return [[shot.path], showing.line(words.USED, "good")]

    def _enrolled(
        self, visit: Visit, photos: tuple[str, ...], chosen: tuple[int, ...], consent: bool, model: str
    ) -> IdentityInfo:
        contents = [
            alone(read(path), visit.faces.get(path, []), face, self.config.limits)
            for path, face in zip(photos, chosen, strict=True)
        ]
        return self.service.create_identity(contents, consent=consent, client=visit.client, model=model)

    def _keep(self, visit: Visit, made: IdentityInfo) -> None:
        visit.identity, visit.name, visit.came_back = made.id, made.name or "This person", False
        data = self.service.identity_file(made.id)
        visit.identity_file = keep(data, f"{made.name or 'person'}.identity.safetensors")

    def _ask(self, visit: Visit) -> Updates:
        """The rows that show a photo's faces, where it has several."""
        updates: Updates = {}
        for index, (row, picture, radio) in enumerate(self.card.choices):
            path = visit.photos[index] if index < len(visit.photos) else None
            boxes = visit.faces.get(path, []) if path else []
            updates[row] = gr.Column(visible=len(boxes) > 1)
            if path and len(boxes) > 1:
                shown, _ = attempt(
                    lambda path=path, boxes=boxes, index=index: showing.numbered(  # type: ignore[misc]
                        decode(read(path), self.config.limits), boxes, index + 1
                    )
                )
                updates[picture] = shown or ""
                updates[radio] = gr.Radio(
                    [words.FACE.format(number=number) for number in range(1, len(boxes) + 1)],
                    value=words.FACE.format(number=visit.chosen.get(path, 0) + 1),
                    label=words.MANY_FACES.format(photo=index + 1, faces=len(boxes)),
                )
            else:
                updates[radio] = gr.Radio([], value=None)
        return updates

    def _state(self, visit: Visit, problem: str) -> Updates:
        ready = bool(visit.identity)
        return {
            self.card.note: self._note(visit, problem),
            self.card.save: gr.DownloadButton(visible=ready, value=visit.identity_file or None),
            self.card.forget: gr.Button(visible=ready or bool(visit.photos)),
        }

    def _note(self, visit: Visit, problem: str) -> str:
        days = f"{self.config.expiry.identity_hours / 24:g}"
        if problem:
            return showing.line(problem, "bad")
        if visit.identity and visit.came_back:
            return showing.line(words.WHO_BACK.format(name=visit.name, days=days), "good")
        if visit.identity and visit.made_from is None:
            return showing.line(words.WHO_LOADED.format(name=visit.name, days=days), "good")
        if visit.identity:
            count = words.photos(len(visit.photos))
            return showing.line(words.WHO_READY.format(name=visit.name, photos=count, days=days), "good")
        return showing.line(words.WHO_CONSENT if visit.photos else words.WHO_EMPTY)
