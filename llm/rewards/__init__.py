"""From a text to its outcome: answers, their equivalence, and verdicts."""
