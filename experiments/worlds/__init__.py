"""The worlds that commands know by name, tabular and language models alike.

One word per stage, from a settings file to a measurement:

* A *world* is what a settings file describes: a family and its parameters, or a file. It is a
  frozen value that is cheap to make, to compare and to store (``TreeWorld``, ``FileWorld``,
  ``ArithmeticWorld``, ...; :data:`experiments.worlds.tabular.World` and
  :data:`experiments.worlds.language.LanguageWorld` list them).
* A *seeded world* is a tabular world of one seed: its MDP, the base policy, and the level at which
  the oracle works (:class:`experiments.worlds.tabular.SeededWorld`).
* An *open world* is a language world with its model loaded
  (:class:`experiments.worlds.open_world.OpenWorld`).
* A *prepared world* is a simulator with one start state per prompt, ready for measurements
  (:class:`experiments.worlds.prepared.PreparedWorld`).
* A *world with a localiser* or *with a policy* adds to a world what one command varies beside it
  (:class:`experiments.worlds.with_localizer.WorldWithLocalizer` for ``diagnose``,
  :class:`experiments.compare.across_worlds.WorldWithPolicy` for ``compare``).

An *instance* is something else: an update of a policy on which ``verify`` checks the bounds
(:class:`experiments.verify.instances.BoundInstance`).
"""
