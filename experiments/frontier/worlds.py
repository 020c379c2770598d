"""Where frontier resets are measured: reasoning trees from easy to hopeless."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.worlds.tabular import TreeWorld

TREES: Mapping[str, TreeWorld] = {
    world.name: world
    for world in (
        TreeWorld("one hard", hard_steps=1),
        TreeWorld("two hard", hard_steps=2),
        TreeWorld("eight mild", hard_steps=8, right_probability=0.7),
        TreeWorld("three early", hard_steps=3, hard_within=5),
        TreeWorld("long, twelve mild", horizon=20, hard_steps=12, right_probability=0.7),
        TreeWorld("four hard", hard_steps=4),
        TreeWorld("five hard", hard_steps=5),
        TreeWorld("long, fourteen mild", horizon=20, hard_steps=14, right_probability=0.65),
        TreeWorld("long, ten hard", horizon=20, hard_steps=10, right_probability=0.5),
    )
}
"""By name, from a base pass rate of about 0.27 down to 0.0009."""
