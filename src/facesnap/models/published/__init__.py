"""Face adapters that others published, read as they are and attached to a base by diffusers' own loader.

InstantID (SDXL) and IP-Adapter-FaceID, -Plus, -PlusV2 (SD 1.5, SDXL); docs/PUBLISHED_ADAPTERS.md says which files,
under which licences, and what they need::

    adapter = read_published("checkpoints")            # None: not one of these
    adapter.attach(pipeline)
    tokens, null_tokens = adapter.tokens(f_id)
    pipeline(prompt, ip_adapter_image_embeds=adapter.image_embeds(pipeline, tokens, null_tokens))
    adapter.detach(pipeline)                           # the base is what it was, to the bit
"""

from __future__ import annotations

from facesnap.models.published.adapter import PublishedAdapter
from facesnap.models.published.faceid import FaceID
from facesnap.models.published.find import read_published
from facesnap.models.published.instantid import RAW_LENGTH, InstantID

__all__ = ["RAW_LENGTH", "FaceID", "InstantID", "PublishedAdapter", "read_published"]
