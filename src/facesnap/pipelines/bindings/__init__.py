"""FaceSnap around stock diffusers pipelines: one thin class per base and road."""
