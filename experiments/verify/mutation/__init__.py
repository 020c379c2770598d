"""Mutants of the bounds: does the battery notice a wrong constant or sign?"""
