"""How well localisers find first errors that people or an exact step checker have marked."""
