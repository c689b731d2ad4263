"""Drawing: mesh, morphing, skin, light, the scene on the card."""
