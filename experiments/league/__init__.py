"""Methods of credit at equal budgets: who learns most from what it generates, and how surely."""
