"""What a training run will take, before anything runs."""
