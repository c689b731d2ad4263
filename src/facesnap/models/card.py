"""An adapter's model card: what it fits, what it reads, how it is used; ``README.md``, as the hub shows it.

What is told of the files themselves stands between two marks and is written anew with each save. Everything else is the
author's: the header's licence and base, and what follows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from facesnap.models.checkpoint import AdapterConfig
    from facesnap.models.ffrnet import FFRNet
    from facesnap.models.mixer import FacialAttributeMixer

CARD_NAME: Final = "README.md"

BEGIN: Final = "<!-- facesnap: written anew with each save -->"
END: Final = "<!-- facesnap: end; what follows is yours -->"

# The adapter fits every base of its family; which one it was trained on, and under which licence it is given away, only
# its author knows.
_HEADER: Final = """\
---
library_name: facesnap
pipeline_tag: text-to-image
tags: [facesnap, controlnet, identity, portrait]
base_family: "{family}"
# base_model: for the author to say: the hub id of the base that it was trained on
# license: for the author to say
---
"""

_TOLD: Final = """\
# A FaceSnap adapter for {family}

One photo of a person and a prompt become portraits of that person, in one pass, on any base of the family
`{family}`: a Facial Attribute Mixer ({mixer:,} parameters) and a Face Fidelity Reinforce Network ({ffrnet:,}), as in
the paper FaceSnap (arXiv 2602.00627). The base stays as it is.

```python
from facesnap import FaceSnap

snap = FaceSnap.from_pretrained("BASE", adapter="THIS FOLDER OR ITS HUB ID")
snap("a portrait of a person in a red jacket", snap.enroll("me.jpg"), seed=1).save("out")
```

| | |
|---|---|
| family of the base | `{family}`, text states {text} wide |
| encoders it was trained on | {encoders} |
| landmark map | `{layout}` |
| face tokens | {tokens} of width {width} |
| settings | {defaults} |
| written by | {versions} |

`adapter.json` says the same for programs; docs/ADAPTERS.md of FaceSnap describes the files.
"""

_YOURS: Final = """
## From its author

Data, steps, measurements, licence and limits are for whoever trained this adapter to say here.
"""

_FAMILY_LINE: Final = re.compile(r"^base_family: .*$", re.MULTILINE)


def adapter_card(config: AdapterConfig, ffrnet: FFRNet, mixer: FacialAttributeMixer, written: str | None = None) -> str:
    """The text of the card.

    Args:
        config: of the adapter.
        ffrnet: its network.
        mixer: its token source.
        written: the card that is there already; None is a new one. Without marks it is given back as it is.
    """

    def listed(pairs: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} `{value}`" for name, value in sorted(pairs.items())) or "none"

    told = _TOLD.format(
        family=config.family,
        text=config.cross_attention_dim,
        encoders=listed(config.encoders),
        layout=config.landmark_layout,
        tokens=mixer.config["tokens"],
        width=mixer.config["width"],
        defaults=listed(config.defaults),
        versions=listed(config.versions),
        mixer=sum(p.numel() for p in mixer.parameters()),
        ffrnet=sum(p.numel() for p in ffrnet.parameters()),
    )
    header = _HEADER.format(family=config.family)
    if written is None:
        return f"{header}{BEGIN}\n{told}{END}\n{_YOURS}"
    return _renewed(written, told, config.family)


def _renewed(written: str, told: str, family: str) -> str:
    """A card with what is told of the files brought up to date; one without both marks as it is."""
    before, begin, rest = written.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return written
    before = _FAMILY_LINE.sub(lambda _: f'base_family: "{family}"', before, count=1)
    return f"{before}{BEGIN}\n{told}{END}{after}"
