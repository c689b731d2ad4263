"""How fast the portrait world is drawn: images/s by size and workers, and where a picture's time goes.

    python benchmarks/world_speed.py [--sizes 128 256 512] [--workers 1 2] [--pictures 150] [--seed 0]

Prints two Markdown tables (docs/WORLD.md holds a run's). A worker draws each picture, with its labels, and encodes it
as the shards do. Starting up (imports, shaders, growing each hair style, weaving masks) is timed apart: it is paid
once per process. For the profile the card is made to finish after every part, which costs some time itself.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from typing import Any

#: Methods of the renderer, and what the profile calls them; the rest is "everything else".
PARTS = {
    "morph": "morphing and normals (compute shaders)",
    "_dress": "baking a person's skin (a tenth: ten pictures each)",
    "_cast_shadow": "shadow map",
    "_draw_head": "background, skin, eyes, mouth",
    "_draw_worn": "hair, beard, clothes, glasses",
    "_read": "reading the picture back, segmentation",
    "_nearness": "reading depth back, twice",
    "style": "picture style",
    "labels": "landmarks, labels, captions",
}
PICTURES_PER_PERSON = 10


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--pictures", type=int, default=150, help="per worker, after starting up")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    from facesnap.core.machine import machine, today

    print(f"{machine('cpu')}, {today()}, seed {asked.seed}, preset full, {asked.pictures} pictures per worker\n")
    print("| side | workers | images/s | start-up of a worker |\n|---|---|---|---|")
    for size in asked.sizes:
        for workers in asked.workers:
            rate, start = measure(size, workers, asked.pictures, asked.seed)
            print(f"| {size} px | {workers} | {rate:.1f} | {start:.0f} s |", flush=True)
    print("\n| part, at 256 px in one process | ms per picture |\n|---|---|")
    for name, milliseconds in profile(256, asked.pictures, asked.seed).items():
        print(f"| {name} | {milliseconds:.1f} |")


def measure(size: int, workers: int, pictures: int, seed: int) -> tuple[float, float]:
    """Images/s of all workers together, and the longest start-up in seconds."""
    context = get_context("spawn")
    barrier, results = context.Barrier(workers), context.Queue()
    started = [context.Process(target=work, args=(size, n, pictures, seed, barrier, results)) for n in range(workers)]
    for process in started:
        process.start()
    times = [results.get() for _ in started]
    for process in started:
        process.join()
    return workers * pictures / max(drawing for _, drawing in times), max(start for start, _ in times)


def work(size: int, worker: int, pictures: int, seed: int, barrier: Any, results: Any) -> None:
    """One worker: start up, wait for the others, draw."""
    begun = time.perf_counter()
    draw, _ = prepared(size, worker, pictures, seed)
    start = time.perf_counter() - begun
    barrier.wait()
    begun = time.perf_counter()
    draw()
    results.put((start, time.perf_counter() - begun))


def prepared(size: int, worker: int, pictures: int, seed: int) -> tuple[Callable[[], None], Any]:
    """A function that draws and encodes ``pictures``; all that a process makes once is made before."""
    os.environ["LP_NUM_THREADS"] = "1"
    import cv2

    from facesnap.world.datasets.shards import encode_png
    from facesnap.world.hair.styles import STYLES, VARIANTS
    from facesnap.world.moments import sample_conditions
    from facesnap.world.people import sample_person
    from facesnap.world.render.renderer import Renderer
    from facesnap.world.worn.occluders import VARIANTS as OCCLUDERS
    from facesnap.world.worn.occluders import build

    cv2.setNumThreads(1)
    renderer = Renderer(size)

    def draw(first: int = 1000 * worker) -> None:
        for number in range(pictures):
            person = sample_person(seed, first + number // PICTURES_PER_PERSON)
            made = renderer.render(person, sample_conditions(seed, person, number % PICTURES_PER_PERSON))
            encode_png(made.image[..., ::-1])
            encode_png(made.segmentation)

    with renderer.scene.gl:
        for style in STYLES:
            for variant in range(VARIANTS):
                renderer.scene.hair(style, variant)
    for kind, variants in OCCLUDERS.items():
        for variant in range(variants):
            build(kind, variant)
    draw(first=1000 * worker + 500)
    return draw, renderer


def profile(size: int, pictures: int, seed: int) -> dict[str, float]:
    """Milliseconds per picture of each part."""
    from facesnap.world.render import renderer as module

    draw, renderer = prepared(size, 0, pictures, seed)
    spent: defaultdict[str, float] = defaultdict(float)
    owners = {name: renderer for name in PARTS if name.startswith("_")}
    places = {
        **{name: (owner, name) for name, owner in owners.items()}, "morph": (renderer.scene.morpher, "run"),
        "style": (module, "apply_style"), "labels": (module, "labels_of"),
    }  # fmt: skip
    for name, (owner, attribute) in places.items():
        setattr(owner, attribute, partial(timed, name, getattr(owner, attribute), spent, renderer.scene.gl.finish))
    begun = time.perf_counter()
    draw()
    total = time.perf_counter() - begun
    table = {PARTS[name]: 1000 * spent[name] / pictures for name in PARTS}
    table["everything else (sampling, uniforms, backdrop, PNG)"] = 1000 * (total - sum(spent.values())) / pictures
    return {**table, "together": 1000 * total / pictures}


def timed(name: str, call: Callable[..., Any], spent: dict[str, float], finish: Callable[[], None], *args: Any) -> Any:
    """Call with the clock on, the card idle before and after."""
    finish()
    begun = time.perf_counter()
    result = call(*args)
    finish()
    spent[name] += time.perf_counter() - begun
    return result


if __name__ == "__main__":
    main()
