"""An adapter's model card: what it fits, what it reads, how it is used; ``README.md``, as the hub shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from facesnap.models.checkpoint import AdapterConfig
    from facesnap.models.ffrnet import FFRNet
    from facesnap.models.mixer import FacialAttributeMixer

CARD_NAME: Final = "README.md"

_CARD: Final = """\
---
library_name: facesnap
pipeline_tag: text-to-image
tags: [facesnap, controlnet, identity, portrait]
---
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

`adapter.json` says the same for programs; docs/ADAPTERS.md of FaceSnap describes the files. Data, steps, measurements,
licence and limits are for whoever trained this adapter to add below.
"""


def adapter_card(config: AdapterConfig, ffrnet: FFRNet, mixer: FacialAttributeMixer) -> str:
    """The text of the card."""

    def listed(pairs: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} `{value}`" for name, value in sorted(pairs.items())) or "none"

    return _CARD.format(
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
