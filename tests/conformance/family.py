"""The family of credit methods, small enough for the battery, with what each asks of a world."""

from __future__ import annotations

from cpi_theory import (
    CAPO,
    RLOO,
    RRPO,
    VPPO,
    Adaptive,
    AdaptiveFrontier,
    AdaptiveSRPO,
    CritiqueGRPO,
    DrGRPO,
    FrontierGRPO,
    GiGPO,
    LambdaGRPO,
    PrefixStarts,
    ResetGRPO,
    SCoRe,
    SPOChain,
    SPOTree,
    Stages,
    TreeRL,
    TreeRPO,
    UnsureReset,
    ValueDropReset,
    VinePPO,
    WrongStepReset,
)
from cpi_theory.seam import can_demonstrate, can_revise, can_score

PLAIN = {
    "Dr. GRPO": DrGRPO(rollouts=4),
    "RLOO": RLOO(rollouts=4),
    "RRPO, any": RRPO(failures_only=False),
    "VinePPO": VinePPO(3, 2),
    "TreeRPO": TreeRPO((3, 2, 2)),
    "SPO-tree": SPOTree((2, 2, 3)),
    "value drop": ResetGRPO(ValueDropReset(2), base=2, suffix=2),
    "VPPO": VPPO(4),
    "CAPO": CAPO(4),
    "lambda-GRPO": LambdaGRPO(5),
    "GiGPO": GiGPO(5),
    "adaptive Frontier": AdaptiveFrontier(FrontierGRPO(rollouts=6, base=3, keep_parent=True)),
    "adaptive SRPO": AdaptiveSRPO(),
    "own prefixes": PrefixStarts(3, Stages(2, "mixed"), source="own", search=3),
}
SCORED = {
    "SPO-chain": SPOChain(3, 2, points=1, probability=0.8),
    "SPO-tree, masked": SPOTree((2, 2, 2), probability=0.8),
    "TreeRL": TreeRL(2, 2, 2, 2),
    "unsure": ResetGRPO(UnsureReset(), base=3, suffix=2),
}
SHOWN = {
    "R3": PrefixStarts(3, Stages(3)).at(0.5),
    "AdaBack": PrefixStarts(3, Adaptive(0.6, rounds=2, probes=2)),
}
REVISED = {
    "SCoRe, stage 1": SCoRe(3),
    "SCoRe, stage 2": SCoRe(3).at(1.0),
    "Critique-GRPO": CritiqueGRPO(4, kept=2),
}
JUDGED = {"CAPO, every step": CAPO(4, judge=WrongStepReset())}

FAMILY = PLAIN | SCORED | SHOWN | REVISED | JUDGED


def able(name, world):
    """Whether a world can do what a method asks of it."""
    if name in SCORED:
        return can_score(world)
    if name in SHOWN:
        task = getattr(world, "task", None)
        return can_demonstrate(world) and (task is None or hasattr(task, "demonstration"))
    if name in REVISED:
        return can_revise(world)
    return name in PLAIN or hasattr(world, "step_advantages")
