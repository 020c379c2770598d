"""Oracle against random and imperfect resets: samples, gains and fitted exponents."""
