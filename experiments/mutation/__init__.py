"""Mutants of functions: would a battery of checks notice a wrong constant?"""
