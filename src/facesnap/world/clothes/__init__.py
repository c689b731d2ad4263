"""Clothes: the body below the head, garments cut from it, cloth."""
