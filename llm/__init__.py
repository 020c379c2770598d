"""Language models on the seam of :mod:`cpi_theory.seam`: thoughts, tasks, sampling, training.

Names are imported when they are first used, so that ``import llm`` loads no PyTorch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
