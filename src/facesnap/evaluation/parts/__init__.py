"""How good each frozen part of a model is by itself, on people that none of them has seen."""
